# transfer: volumes as a stream, sent and received.
stream_sources = \
	src/transfer/stream.h src/transfer/stream-private.h src/transfer/stream-bytes.c \
	src/transfer/stream-read.c src/transfer/stream-volume.c src/transfer/stream-write.c
virt_thin_SOURCES += $(stream_sources)
