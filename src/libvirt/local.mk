# libvirt
