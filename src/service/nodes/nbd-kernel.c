/* virt-thin - the kernel's NBD client: exports of our server as /dev/nbdN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Facts from linux drivers/block/nbd.c:
 *   - RECONFIGURE puts a new socket in the place of a dead one only, and answers 0 when none is
 *     dead (nbd_genl_reconfigure, -ENOSPC of nbd_reconnect_socket).
 *   - A request in flight on a dead socket is sent again by nbd_xmit_timeout(), with one connection
 *     only when a timeout was set.
 *   - A device with an identifier takes a RECONFIGURE only with the same one.
 *   - DISCONNECT fails what is in flight; the flag DISCONNECT_ON_CLOSE does the same at the last
 *     close. Who has the device open keeps it, attached and dead.
 *   - A request that waits for a connection (wait_for_reconnect) does so for as long as the
 *     device's patience was when it began; DISCONNECT wakes it only where a connection was
 *     alive.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "service/nbd/nbd-protocol.h"
#include "service/nodes/nbd-kernel.h"

#define CONNECT_MS 10000
#define CFLAG_DISCONNECT_ON_CLOSE (1u << 1) /* NBD_CFLAG_DISCONNECT_ON_CLOSE of linux/nbd.h */

/* --- the handshake, as a client --- */

typedef struct {
  guint64 size;
  guint16 flags;
} Export;

static gboolean transfer(int fd, gboolean sending, void *data, gsize length, const char *what,
                         GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = sending ? send(fd, (char *)data + done, length - done, MSG_NOSIGNAL)
                        : recv(fd, (char *)data + done, length - done, 0);
    if (n > 0)
      done += n;
    else if (n == 0)
      return vt_set_error(error, ECONNRESET, "the NBD server closed the connection during %s",
                          what);
    else if (errno == EAGAIN)
      return vt_set_error(error, ETIMEDOUT,
                          "the NBD server did not answer within %d seconds, at %s",
                          CONNECT_MS / 1000, what);
    else if (errno != EINTR)
      return vt_set_errno(error, errno, "talking to the NBD server, at %s", what);
  }
  return TRUE;
}

static gboolean send_go(int fd, const char *name, GError **error)
{
  gsize length = strlen(name);
  struct {
    guint32 flags;
    NbdOption option;
    guint32 name_length;
  } __attribute__((packed))
  go = {GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
        {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(NBD_OPT_GO), GUINT32_TO_BE(4 + length + 2)},
        GUINT32_TO_BE(length)};
  guint16 no_requests = 0;
  return transfer(fd, TRUE, &go, sizeof go, "the choice of the export", error) &&
         transfer(fd, TRUE, (void *)name, length, "the choice of the export", error) &&
         transfer(fd, TRUE, &no_requests, sizeof no_requests, "the choice of the export", error);
}

static gboolean receive_go(int fd, const char *name, Export *export, GError **error)
{
  for (;;) {
    NbdOptionReply reply;
    if (!transfer(fd, FALSE, &reply, sizeof reply, "its reply", error))
      return FALSE;
    guint32 type = GUINT32_FROM_BE(reply.type), length = GUINT32_FROM_BE(reply.length);
    if (reply.magic != GUINT64_TO_BE(NBD_REP_MAGIC) || length > 2 * NBD_NAME_MAX)
      return vt_set_error(error, EPROTO, "the NBD server's reply is none");
    g_autofree char *data = g_malloc0(length + sizeof(NbdInfoExport));
    if (!transfer(fd, FALSE, data, length, "its reply", error))
      return FALSE;
    if (type == NBD_REP_ACK)
      return TRUE;
    if (type != NBD_REP_INFO)
      return vt_set_error(error,
                          type == NBD_REP_ERR_UNKNOWN  ? ENOENT
                          : type == NBD_REP_ERR_POLICY ? EBUSY
                                                       : EIO,
                          "the NBD server refuses export %s: %s", name, data);
    NbdInfoExport info;
    memcpy(&info, data, sizeof info);
    if (info.info == GUINT16_TO_BE(NBD_INFO_EXPORT))
      *export = (Export){GUINT64_FROM_BE(info.size), GUINT16_FROM_BE(info.flags)};
  }
}

/* A connection to @export_name, ready for transmission. -1: error. */
static int negotiate(const char *socket_path, const char *export_name, Export *export,
                     GError **error)
{
  int fd = control_socket_connect(socket_path, CONNECT_MS, error);
  if (fd < 0)
    return -1;
  struct timeval timeout = {.tv_sec = CONNECT_MS / 1000}, none = {0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  NbdGreeting greeting = {0};
  *export = (Export){0};
  gboolean ok = transfer(fd, FALSE, &greeting, sizeof greeting, "its greeting", error) &&
                (greeting.option_magic == GUINT64_TO_BE(NBD_OPTION_MAGIC) ||
                 vt_set_error(error, EPROTO, "%s: this is no NBD server", socket_path)) &&
                send_go(fd, export_name, error) && receive_go(fd, export_name, export, error);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  if (ok)
    return fd;
  close(fd);
  return -1;
}

/* --- netlink --- */

typedef struct {
  struct nl_sock *sock;
  struct nl_msg *msg;
  int family;
  int index; /* in the kernel's reply; -1 */
} Call;

static gboolean set_nl_error(GError **error, int code, const char *what)
{
  static const struct {
    int nl, err;
  } table[] = {{NLE_PERM, EPERM},   {NLE_NODEV, ENODEV},        {NLE_OBJ_NOTFOUND, ENOENT},
               {NLE_BUSY, EBUSY},   {NLE_NOMEM, ENOMEM},        {NLE_INVAL, EINVAL},
               {NLE_EXIST, EEXIST}, {NLE_OPNOTSUPP, EOPNOTSUPP}};
  int err = EIO;
  for (guint i = 0; i < G_N_ELEMENTS(table); i++)
    if (-code == table[i].nl)
      err = table[i].err;
  return vt_set_error(error, err, "%s: the kernel's NBD driver says: %s", what, nl_geterror(code));
}

static struct nl_sock *connect_netlink(int *family, GError **error)
{
  struct nl_sock *sock = nl_socket_alloc();
  int code = sock ? genl_connect(sock) : -NLE_NOMEM;
  if (code == 0 && (*family = genl_ctrl_resolve(sock, NBD_GENL_FAMILY_NAME)) < 0)
    code = *family;
  if (code == 0)
    fcntl(nl_socket_get_fd(sock), F_SETFD, FD_CLOEXEC);
  if (code >= 0)
    return sock;
  if (sock)
    nl_socket_free(sock);
  if (code == -NLE_OBJ_NOTFOUND)
    vt_set_error(error, ENODEV, "this kernel has no NBD client (module nbd)");
  else
    set_nl_error(error, code, "connecting to it");
  return NULL;
}

static int on_reply(struct nl_msg *msg, void *data)
{
  struct nlattr *attrs[NBD_ATTR_MAX + 1];
  if (genlmsg_parse(nlmsg_hdr(msg), 0, attrs, NBD_ATTR_MAX, NULL) == 0 && attrs[NBD_ATTR_INDEX])
    ((Call *)data)->index = nla_get_u32(attrs[NBD_ATTR_INDEX]);
  return NL_OK;
}

static gboolean call_begin(Call *call, guint8 command, GError **error)
{
  *call = (Call){.index = -1};
  call->sock = connect_netlink(&call->family, error);
  if (!call->sock)
    return FALSE;
  call->msg = nlmsg_alloc();
  nl_socket_modify_cb(call->sock, NL_CB_VALID, NL_CB_CUSTOM, on_reply, call);
  genlmsg_put(call->msg, NL_AUTO_PORT, NL_AUTO_SEQ, call->family, 0, 0, command, NBD_GENL_VERSION);
  return TRUE;
}

static void put_socket(Call *call, int fd)
{
  struct nlattr *sockets = nla_nest_start(call->msg, NBD_ATTR_SOCKETS),
                *item = nla_nest_start(call->msg, NBD_SOCK_ITEM);
  nla_put_u32(call->msg, NBD_SOCK_FD, fd);
  nla_nest_end(call->msg, item);
  nla_nest_end(call->msg, sockets);
}

/* Send, wait for the answer, free. */
static gboolean call_end(Call *call, const char *what, GError **error)
{
  int code = nl_send_sync(call->sock, call->msg); /* frees the message */
  nl_socket_free(call->sock);
  return code >= 0 || set_nl_error(error, code, what);
}

static gboolean index_of(const char *device, guint32 *index)
{
  guint64 n;
  if (!g_str_has_prefix(device, "/dev/nbd") ||
      !g_ascii_string_to_unsigned(device + strlen("/dev/nbd"), 10, 0, G_MAXINT, &n, NULL))
    return FALSE;
  *index = n;
  return TRUE;
}

/* A change to @device, which proves itself by its identifier. */
static gboolean begin_reconfigure(Call *call, const char *device, GError **error)
{
  guint32 index;
  if (!index_of(device, &index))
    return vt_set_error(error, EINVAL, "%s is no NBD device", device);
  if (!call_begin(call, NBD_CMD_RECONFIGURE, error))
    return FALSE;
  g_autofree char *identifier = nbd_kernel_identifier(device);
  nla_put_u32(call->msg, NBD_ATTR_INDEX, index);
  if (identifier)
    nla_put_string(call->msg, NBD_ATTR_BACKEND_IDENTIFIER, identifier);
  return TRUE;
}

/* --- what there is --- */

static char *read_sysfs(const char *device, const char *name)
{
  g_autofree char *path = g_strdup_printf("/sys/block/%s/%s", device + strlen("/dev/"), name);
  char *text = NULL;
  return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

char *nbd_kernel_identifier(const char *device)
{
  guint32 index;
  return index_of(device, &index) ? read_sysfs(device, "backend") : NULL;
}

gboolean nbd_kernel_is_attached(const char *device)
{
  guint32 index;
  g_autofree char *pid = index_of(device, &index) ? read_sysfs(device, "pid")
                                                  : NULL; /* the file is there while it is */
  return pid != NULL;
}

GPtrArray *nbd_kernel_list(void)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func(g_free);
  GDir *dir = g_dir_open("/sys/block", 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *device = g_strdup_printf("/dev/%s", name);
    if (nbd_kernel_is_attached(device))
      g_ptr_array_add(devices, g_steal_pointer(&device));
  }
  if (dir)
    g_dir_close(dir);
  return devices;
}

gboolean nbd_kernel_available(GError **error)
{
  int family;
  if (geteuid() != 0)
    return vt_set_error(error, EPERM, "NBD devices are for root");
  struct nl_sock *sock = connect_netlink(&family, NULL);
  if (!sock) {
    /* Without partitions: what is inside a guest's disk is not this machine's business. */
    const char *const argv[] = {"modprobe", "-q", "nbd", "max_part=0", NULL};
    g_spawn_sync(NULL, (char **)argv, NULL,
                 G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                 NULL, NULL, NULL, NULL, NULL, NULL);
    sock = connect_netlink(&family, error);
  }
  if (sock)
    nl_socket_free(sock);
  return sock != NULL;
}

/* --- changes --- */

/* Make the node where neither udev nor devtmpfs does. */
static gboolean make_device_node(const char *device, GError **error)
{
  if (access(device, F_OK) == 0)
    return TRUE;
  g_autofree char *text = read_sysfs(device, "dev");
  guint major, minor;
  if (!text || sscanf(text, "%u:%u", &major, &minor) != 2)
    return vt_set_error(error, ENODEV, "the kernel does not tell the number of %s", device);
  if (mknod(device, S_IFBLK | 0660, makedev(major, minor)) < 0 && errno != EEXIST)
    return vt_set_errno(error, errno, "cannot make %s", device);
  return TRUE;
}

char *nbd_kernel_attach(const char *socket_path, const char *export_name, const char *identifier,
                        const NodeShape *shape, GError **error)
{
  Export export;
  int fd = negotiate(socket_path, export_name, &export, error);
  if (fd < 0)
    return NULL;
  Call call;
  gboolean ok = call_begin(&call, NBD_CMD_CONNECT, error);
  if (ok) {
    nla_put_u64(call.msg, NBD_ATTR_SIZE_BYTES, export.size);
    nla_put_u64(call.msg, NBD_ATTR_BLOCK_SIZE_BYTES, shape->sector_size);
    nla_put_u64(call.msg, NBD_ATTR_SERVER_FLAGS,
                export.flags | (shape->read_only ? NBD_FLAG_READ_ONLY : 0));
    nla_put_u64(call.msg, NBD_ATTR_TIMEOUT, NBD_KERNEL_TIMEOUT_S);
    nla_put_u64(call.msg, NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_KERNEL_PATIENCE_S);
    nla_put_string(call.msg, NBD_ATTR_BACKEND_IDENTIFIER, identifier);
    put_socket(&call, fd);
    g_autofree char *what = g_strdup_printf("attaching %s", export_name);
    ok = call_end(&call, what, error);
  }
  close(fd); /* the kernel has its own reference */
  if (!ok)
    return NULL;
  g_autofree char *device = g_strdup_printf("/dev/nbd%d", call.index);
  if (call.index < 0) {
    vt_set_error(error, EPROTO, "attaching %s: the kernel did not say to which device",
                 export_name);
    return NULL;
  }
  if (make_device_node(device, error))
    return g_steal_pointer(&device);
  nbd_kernel_detach(device, NULL);
  return NULL;
}

gboolean nbd_kernel_reconnect(const char *device, const char *socket_path, const char *export_name,
                              GError **error)
{
  Export export;
  g_autoptr(GError) local = NULL;
  int fd = negotiate(socket_path, export_name, &export, &local);
  if (fd < 0 && vt_error_to_errno(local) == EBUSY)
    return TRUE; /* the old connection lives: the server takes one at a time for a view */
  if (fd < 0) {
    g_propagate_prefixed_error(error, g_steal_pointer(&local), "reconnecting %s: ", device);
    return FALSE;
  }
  Call call;
  gboolean ok = begin_reconfigure(&call, device, error);
  if (ok) {
    put_socket(&call, fd);
    ok = call_end(&call, device, error);
  }
  close(fd);
  return ok;
}

gboolean nbd_kernel_resize(const char *device, guint64 size, GError **error)
{
  Call call;
  if (!begin_reconfigure(&call, device, error))
    return FALSE;
  nla_put_u64(call.msg, NBD_ATTR_SIZE_BYTES, size);
  return call_end(&call, device, error);
}

gboolean nbd_kernel_detach(const char *device, GError **error)
{
  Call call;
  if (!nbd_kernel_is_attached(device))
    return TRUE;
  if (!begin_reconfigure(&call, device, error))
    return FALSE;
  nla_put_u64(call.msg, NBD_ATTR_CLIENT_FLAGS, CFLAG_DISCONNECT_ON_CLOSE);
  nla_put_u64(call.msg, NBD_ATTR_DEAD_CONN_TIMEOUT, 0);
  if (!call_end(&call, device, error))
    return FALSE;
  /* The last close disconnects; without a user that is ours. */
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT && errno != ENXIO)
    return vt_set_errno(error, errno, "cannot open %s to take it away", device);
  if (fd >= 0)
    close(fd);
  return TRUE;
}

gboolean nbd_kernel_keep(const char *device, GError **error)
{
  Call call;
  if (!nbd_kernel_is_attached(device))
    return TRUE;
  if (!begin_reconfigure(&call, device, error))
    return FALSE;
  nla_put_u64(call.msg, NBD_ATTR_CLIENT_FLAGS, 0);
  nla_put_u64(call.msg, NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_KERNEL_PATIENCE_S);
  return call_end(&call, device, error);
}

/* DISCONNECT alone does nothing for requests that have waited since before it, nor does a shorter
 * patience; a connection lets them go on, here to nobody. */
gboolean nbd_kernel_abandon(const char *device, GError **error)
{
  int pair[2];
  guint32 index;
  Call call;
  if (!nbd_kernel_is_attached(device))
    return TRUE;
  if (!begin_reconfigure(&call, device, error))
    return FALSE;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    nlmsg_free(call.msg);
    nl_socket_free(call.sock);
    return vt_set_errno(error, errno, "cannot make sockets");
  }
  nla_put_u64(call.msg, NBD_ATTR_DEAD_CONN_TIMEOUT, 0);
  put_socket(&call, pair[0]);
  gboolean ok = call_end(&call, device, error);
  close(pair[0]);
  close(pair[1]);
  if (!ok || !index_of(device, &index) || !call_begin(&call, NBD_CMD_DISCONNECT, error))
    return FALSE;
  nla_put_u32(call.msg, NBD_ATTR_INDEX, index);
  return call_end(&call, device, error);
}

/* --- connections that die --- */

int nbd_kernel_watch(GError **error)
{
  int family;
  struct nl_sock *sock = connect_netlink(&family, error);
  if (!sock)
    return -1;
  int group = genl_ctrl_resolve_grp(sock, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME);
  int code = group < 0 ? group : nl_socket_add_membership(sock, group);
  int fd = code < 0 ? -1 : fcntl(nl_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0);
  if (fd < 0)
    set_nl_error(error, code < 0 ? code : -NLE_FAILURE, "listening to it");
  nl_socket_free(sock);
  return fd;
}

char *nbd_kernel_watched(int watch_fd)
{
  union {
    struct nlmsghdr header;
    char bytes[4096];
  } message;
  ssize_t n = recv(watch_fd, &message, sizeof message, MSG_DONTWAIT);
  struct nlattr *attrs[NBD_ATTR_MAX + 1];
  if (n < (ssize_t)sizeof message.header || !nlmsg_ok(&message.header, n) ||
      genlmsg_parse(&message.header, 0, attrs, NBD_ATTR_MAX, NULL) != 0)
    return NULL;
  const struct genlmsghdr *genl = nlmsg_data(&message.header);
  if (genl->cmd != NBD_CMD_LINK_DEAD || !attrs[NBD_ATTR_INDEX])
    return NULL;
  return g_strdup_printf("/dev/nbd%u", nla_get_u32(attrs[NBD_ATTR_INDEX]));
}
