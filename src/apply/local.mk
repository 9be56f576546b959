# apply: from a storage.cfg to libvirt's pools.
virt_thin_SOURCES += \
	src/apply/apply.h src/apply/host.c src/apply/plan.c \
	src/apply/domain-xml.h src/apply/domain-xml.c \
	src/apply/domains.h src/apply/domains.c \
	src/apply/libvirt-client.h src/apply/libvirt-client.c
