# lvm
