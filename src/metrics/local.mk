# metrics: what a monitoring system reads of volume groups
virt_thin_SOURCES += \
	src/metrics/collect.h src/metrics/collect.c \
	src/metrics/http.h src/metrics/http.c \
	src/metrics/lines.h src/metrics/lines.c \
	src/metrics/text.h src/metrics/text.c
