# The simulation. What its product calls is the program's own, but for the names here, which the
# linker hands to tests/sim/wrap-*.c and disk.c.
sim_wrapped = \
	pthread_mutex_init pthread_mutex_destroy pthread_mutex_lock pthread_mutex_trylock \
	pthread_mutex_unlock pthread_cond_init pthread_cond_destroy pthread_cond_wait \
	pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast pthread_rwlock_init \
	pthread_rwlock_destroy pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_unlock \
	pthread_create pthread_join pthread_detach \
	g_mutex_init g_mutex_clear g_mutex_lock g_mutex_trylock g_mutex_unlock \
	g_thread_new g_thread_join g_thread_unref g_usleep \
	g_get_monotonic_time g_get_real_time g_date_time_new_now_local time clock_gettime \
	getrandom g_random_int g_random_int_range uname g_get_host_name g_file_test \
	dmk_available dmk_find_active lvm_content_belongs_to lvm_content_check_free lvm_archive_save \
	vt_io_open_file vt_io_lock vt_io_grow_file \
	read fuse_session_process_buf shared_populate \
	recv send sendmsg poll shutdown close setsockopt \
	g_cond_init g_cond_clear g_cond_broadcast g_cond_wait_until \
	g_thread_pool_new g_thread_pool_push g_thread_pool_free g_async_queue_timeout_pop \
	control_listener_new control_listener_free control_connect control_peer_socket \
	control_socket_peer g_socket_get_fd g_socket_shutdown g_dbus_connection_is_closed \
	g_dbus_connection_close g_dbus_connection_register_object g_dbus_connection_flush \
	g_dbus_connection_flush_finish g_dbus_connection_flush_sync g_dbus_connection_emit_signal \
	g_dbus_connection_call_sync g_dbus_method_invocation_get_connection \
	g_dbus_method_invocation_get_parameters g_dbus_method_invocation_get_method_name \
	g_dbus_method_invocation_return_value g_dbus_method_invocation_return_dbus_error \
	g_file_get_contents g_file_set_contents_full getrlimit freeze_begin freeze_end \
	nodes_sync nodes_show nodes_hide nodes_rename nodes_resized nodes_flush nodes_user \
	nodes_claim nodes_has
sim_tests = tests/sim/sim
check_PROGRAMS += $(sim_tests)
tests_sim_sim_SOURCES = \
	tests/sim/admin.c tests/sim/bus.h tests/sim/client.c tests/sim/client.h \
	tests/sim/disk.c tests/sim/disk.h tests/sim/disk-private.h tests/sim/disk-cut.c \
	tests/sim/events.c tests/sim/fiber.c tests/sim/fiber.h \
	tests/sim/file.c tests/sim/file.h tests/sim/guest.c \
	tests/sim/laws.c tests/sim/laws.h tests/sim/laws-counts.c tests/sim/main.c \
	tests/sim/model.c tests/sim/model.h tests/sim/model-change.c \
	tests/sim/mount.c tests/sim/mount.h \
	tests/sim/run.c tests/sim/run.h tests/sim/serve.c tests/sim/serve.h \
	tests/sim/service.c tests/sim/service.h \
	tests/sim/shrink.c tests/sim/stranger.c \
	tests/sim/world.c tests/sim/world.h \
	tests/sim/wrap-bus.c tests/sim/wrap-host.c tests/sim/wrap-pool.c tests/sim/wrap-service.c \
	tests/sim/wrap-socket.c tests/sim/wrap-thread.c
tests_sim_sim_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_TOP_SRCDIR=\"$(abs_top_srcdir)\"
tests_sim_sim_LDFLAGS = $(AM_LDFLAGS) $(sim_wrapped:%=-Wl,--wrap=%)
tests_sim_sim_LDADD = $(src_libs)
EXTRA_DIST += tests/sim/README.md
tests_sim_sim_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS)
