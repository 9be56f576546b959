# transfer: volumes as a stream, sent and received.
stream_sources = \
	src/transfer/stream.h src/transfer/stream-private.h src/transfer/stream-bytes.c \
	src/transfer/stream-read.c src/transfer/stream-volume.c src/transfer/stream-write.c
transfer_sources = \
	src/transfer/identity.h src/transfer/identity.c \
	src/transfer/nearest.h src/transfer/nearest.c \
	src/transfer/receive.h src/transfer/receive.c \
	src/transfer/receive-private.h src/transfer/receive-publish.c \
	src/transfer/receive-resume.c \
	src/transfer/receive-target.c \
	src/transfer/resume.h src/transfer/resume.c \
	src/transfer/send.h src/transfer/send.c \
	src/transfer/send-private.h src/transfer/send-base.c src/transfer/send-select.c
virt_thin_SOURCES += $(stream_sources) $(transfer_sources)
