# schedule: sections of virt-thin.conf, systemd's timers, what a run does.
virt_thin_SOURCES += \
	src/schedule/backup.h src/schedule/backup.c \
	src/schedule/failover.h src/schedule/failover.c \
	src/schedule/failover-domains.h src/schedule/failover-domains.c \
	src/schedule/file.c \
	src/schedule/first-host.h src/schedule/first-host.c \
	src/schedule/guests.h src/schedule/guests.c \
	src/schedule/history.h src/schedule/history.c \
	src/schedule/nvram.h src/schedule/nvram.c \
	src/schedule/peer.h src/schedule/peer.c \
	src/schedule/replicas.h src/schedule/replicas.c \
	src/schedule/replicate.h src/schedule/replicate.c \
	src/schedule/report.h src/schedule/report.c \
	src/schedule/run.h src/schedule/run.c \
	src/schedule/schedule.h src/schedule/schedule.c \
	src/schedule/sets.c \
	src/schedule/snapshots.h src/schedule/snapshots.c \
	src/schedule/spawn.h src/schedule/spawn.c \
	src/schedule/targets.h src/schedule/targets.c \
	src/schedule/timers.h src/schedule/timers.c
