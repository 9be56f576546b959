/* virt-thin - the nodes process: makes and removes the block nodes of a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Its only memory that matters is in the kernel and the file system: a device over
 * <folder>/<volume>, and the link <dev-dir>/<vg>/<volume> to it. So it can be replaced at any time,
 * as the engine can. A device that a stranger takes away (losetup -d) is noticed by its uevent and
 * made again, before its link can lead to what somebody else puts on it.
 */
#include "config.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/nodes/block-node.h"
#include "service/nodes/nodes.h"
#include "settings/settings.h"
#include "util/block-users.h"

#define ONLOOKER_PATIENCE_MS 2000
#define RECONNECT_S 1

typedef struct {
  char *device;
  NodeShape shape;
  guint sync; /* number of the last sync that wanted it */
} Node;

typedef struct {
  char *vg;
  char *folder;              /* of the files */
  char *links;               /* <dev-dir>/<vg> */
  const BlockNodeKind *kind; /* NULL: none is usable; why: */
  char *reason;
  gboolean unserved; /* there is no engine, and none will come for what there is */
  GHashTable *nodes; /* name -> Node */
  guint sync;
  BlockScan *scan; /* the last look around; NULL: none yet */
  GMainLoop *loop;
} Process;

typedef struct {
  Process *process;
  char *device;
} Lost;

static const BlockNodeKind *const kinds[] = {&block_node_nbd, &block_node_loop};

static void node_free(gpointer data)
{
  Node *node = data;
  g_free(node->device);
  g_free(node);
}

static const BlockNodeKind *choose_kind(const char *vg, char **reason)
{
  const char *wanted = settings_block_nodes();
  g_autoptr(GError) foreign = NULL;
  GString *why;

  if (!settings_check_links(vg, &foreign)) {
    *reason = g_strdup(foreign->message);
    return NULL;
  }
  why = g_string_new(NULL);
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
    g_autoptr(GError) error = NULL;
    if (strcmp(wanted, "auto") != 0 && strcmp(wanted, kinds[i]->name) != 0)
      continue;
    if (kinds[i]->usable(&error)) {
      g_string_free(why, TRUE);
      return kinds[i];
    }
    g_string_append_printf(why, "%s%s", why->len ? "; " : "", error->message);
  }
  if (why->len == 0)
    g_string_printf(why, "virt-thin.conf says block-nodes=%s", wanted);
  *reason = g_string_free(why, FALSE);
  return NULL;
}

static gboolean take_away(Process *process, const char *device, GError **error)
{
  if (process->unserved && process->kind->abandon)
    return process->kind->abandon(device, error);
  return process->kind->detach(device, error);
}

/* --- links --- */

static char *link_of(Process *process, const char *name)
{
  return g_build_filename(process->links, name, NULL);
}

/* May the link @path be replaced? What leads to one of our devices, or to one that nothing is
 * on. */
static gboolean is_our_link(Process *process, const char *path)
{
  g_autofree char *target = g_file_read_link(path, NULL);
  return target && process->kind && g_str_has_prefix(target, "/dev/") &&
         (process->kind->is_ours(target, process->folder) || !process->kind->in_use(target));
}

static gboolean make_link(Process *process, const char *name, const char *device, GError **error)
{
  g_autofree char *path = link_of(process, name);
  g_autofree char *new_path = g_strdup_printf("%s/.%s.new", process->links, name);
  struct stat st;

  if (!settings_make_folder(process->links, error))
    return FALSE;
  if (lstat(path, &st) == 0 && !is_our_link(process, path))
    return vt_set_error(
        error, EEXIST,
        "%s is there already, and not from here: is volume group %s active in the kernel?", path,
        process->vg);
  unlink(new_path);
  if (symlink(device, new_path) == -1 || rename(new_path, path) == -1)
    return vt_set_errno(error, errno, "cannot make link %s", path);
  return TRUE;
}

static void remove_link(Process *process, const char *name)
{
  g_autofree char *path = link_of(process, name);
  if (unlink(path) == -1 && errno != ENOENT)
    g_warning("cannot remove link %s: %s", path, g_strerror(errno));
}

/* --- nodes --- */

static guint read_attribute(const char *device, const char *attribute)
{
  g_autofree char *path = g_strdup_printf("/sys/block/%s/%s", device + strlen("/dev/"), attribute),
                  *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? (guint)g_ascii_strtoull(text, NULL, 10) : 0;
}

static NodeShape shape_of(const char *device)
{
  NodeShape shape = {read_attribute(device, "ro") != 0,
                     read_attribute(device, "queue/logical_block_size")};

  return shape;
}

static gboolean is_same_shape(const NodeShape *a, const NodeShape *b)
{
  return a->read_only == b->read_only && a->sector_size == b->sector_size;
}

static gboolean show(Process *process, const char *name, const NodeShape *shape, GError **error)
{
  Node *node = g_hash_table_lookup(process->nodes, name);
  g_autofree char *file = g_build_filename(process->folder, name, NULL);

  if (!process->kind)
    return vt_set_error(error, EOPNOTSUPP, "%s", process->reason);
  if (node && is_same_shape(&node->shape, shape) &&
      process->kind->is_ours(node->device, process->folder)) {
    node->sync = process->sync;
    return !process->kind->reconnect ||
           process->kind->reconnect(node->device, process->vg, name, error);
  }
  if (node) {
    process->kind->detach(node->device, NULL);
    g_hash_table_remove(process->nodes, name);
  }
  g_autofree char *device = process->kind->attach(process->vg, name, file, shape, error);
  if (!device)
    return FALSE;
  if (!make_link(process, name, device, error)) {
    process->kind->detach(device, NULL);
    return FALSE;
  }
  node = g_new0(Node, 1);
  node->device = g_steal_pointer(&device);
  node->shape = *shape;
  node->sync = process->sync;
  g_hash_table_replace(process->nodes, g_strdup(name), node);
  return TRUE;
}

static gboolean hide(Process *process, const char *name, GError **error)
{
  Node *node = g_hash_table_lookup(process->nodes, name);
  g_autofree char *device = node ? g_strdup(node->device) : NULL;

  if (!node)
    return TRUE;
  remove_link(process, name);
  g_hash_table_remove(process->nodes,
                      name); /* first: the uevent that follows is not a stranger's doing */
  return take_away(process, device, error);
}

static gboolean rename_node(Process *process, const char *name, const char *new_name,
                            GError **error)
{
  g_autofree char *key = NULL;
  gpointer node;

  if (!g_hash_table_steal_extended(process->nodes, name, (gpointer *)&key, &node))
    return TRUE;
  g_hash_table_replace(process->nodes, g_strdup(new_name), node);
  remove_link(process, name);
  return make_link(process, new_name, ((Node *)node)->device, error);
}

static gboolean resized(Process *process, const char *name, GError **error)
{
  Node *node = g_hash_table_lookup(process->nodes, name);
  g_autofree char *file = g_build_filename(process->folder, name, NULL);
  struct stat st;

  if (node)
    return process->kind->resize(node->device, process->vg, name, file, error);
  /* Without a node, too: who has the file open finds its new size in the kernel once somebody has
   * asked for it. */
  if (stat(file, &st) == -1 && errno != ENOENT)
    g_message("%s: %s", file, g_strerror(errno));
  return TRUE;
}

/* @user as of block_scan_user(): one of those that look at every device for a moment? That is
 * nobody's use. */
static gboolean is_onlooker(const char *user)
{
  static const char *const onlookers[] = {"(udev-worker)", "systemd-udevd", "udevadm",   "blkid",
                                          "lsblk",         "lvm",           "lvs",       "pvs",
                                          "vgs",           "pvck",          "pvscan",    "vgscan",
                                          "vgchange",      "mdadm",         "multipathd"};
  const char *comma = strchr(user, ',');
  g_autofree char *comm = comma ? g_strndup(user, comma - user) : NULL;

  for (guint i = 0; comm && i < G_N_ELEMENTS(onlookers); i++)
    if (strcmp(comm, onlookers[i]) == 0)
      return TRUE;
  return FALSE;
}

static gboolean look(Process *process)
{
  g_clear_pointer(&process->scan, block_scan_free);
  process->scan = block_scan_new();
  return TRUE;
}

/* Onlookers are left to claim(), which waits for them. */
static char *user_of(Process *process, const char *name)
{
  Node *node = g_hash_table_lookup(process->nodes, name);
  g_autofree char *file = g_build_filename(process->folder, name, NULL);
  g_autofree char *user = node ? block_scan_user(process->scan, node->device) : NULL;

  if (user && !is_onlooker(user))
    return g_steal_pointer(&user);
  return block_scan_file_user(process->scan, file, node ? node->device : "");
}

static gboolean has_gone(Process *process, const char *device)
{
  gint64 deadline = g_get_monotonic_time() + ONLOOKER_PATIENCE_MS * G_TIME_SPAN_MILLISECOND;

  while (process->kind->is_ours(device, process->folder)) {
    if (g_get_monotonic_time() > deadline)
      return FALSE;
    g_usleep(20000);
  }
  return TRUE;
}

/* Who has a device open keeps it from going, be it by a descriptor in a namespace that cannot be
 * seen from here, or one that only the kernel has. So the question whether there is anybody is a
 * detach() that is taken back. */
static gboolean claim(Process *process, const char *name, GError **error)
{
  Node *node = g_hash_table_lookup(process->nodes, name);
  g_autofree char *user = NULL;

  if (!node)
    return TRUE;
  if (!process->kind->detach(node->device, error))
    return FALSE;
  if (!has_gone(process, node->device)) {
    if (!process->kind->keep(node->device, process->folder, error))
      return FALSE;
    if (process->kind->is_ours(node->device, process->folder)) {
      look(process);
      user = block_scan_user(process->scan, node->device);
      return vt_set_error(error, EBUSY, "%s",
                          user ? user : "the kernel, or a process, that cannot be seen from here");
    }
  }
  remove_link(process, name);
  g_hash_table_remove(process->nodes, name);
  return TRUE;
}

static void hide_unwanted(Process *process)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter iter;
  gpointer name, node;

  g_hash_table_iter_init(&iter, process->nodes);
  while (g_hash_table_iter_next(&iter, &name, &node))
    if (((Node *)node)->sync != process->sync)
      g_ptr_array_add(names, g_strdup(name));
  for (guint i = 0; i < names->len; i++) {
    g_autoptr(GError) error = NULL;
    if (!hide(process, names->pdata[i], &error))
      g_warning("%s/%s: %s", process->vg, (char *)names->pdata[i], error->message);
  }
}

/* Make the kernel forget what it caches of @device. */
static gboolean forget_cache(const char *device, GError **error)
{
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  gboolean done = fd != -1 && ioctl(fd, BLKFLSBUF, 0) == 0;

  if (!done)
    vt_set_errno(error, errno, "cannot make the kernel forget what it caches of %s", device);
  if (fd != -1)
    close(fd);
  return done;
}

static gboolean execute(Process *process, const NodeRequest *request, NodeReply *reply,
                        GError **error)
{
  NodeShape shape = {request->read_only, request->sector_size ? request->sector_size : 512};
  g_autofree char *text = NULL;
  Node *node;

  switch ((NodeOp)request->op) {
  case NODE_SYNC_BEGIN: process->sync++; return TRUE;
  case NODE_SYNC_END: hide_unwanted(process); return TRUE;
  case NODE_SHOW: return show(process, request->name, &shape, error);
  case NODE_HIDE: return hide(process, request->name, error);
  case NODE_RENAME: return rename_node(process, request->name, request->new_name, error);
  case NODE_RESIZED: return resized(process, request->name, error);
  case NODE_FLUSH:
    node = g_hash_table_lookup(process->nodes, request->name);
    return !node || forget_cache(node->device, error);
  case NODE_LOOK: return look(process);
  case NODE_USER:
    if (process->scan && (text = user_of(process, request->name)))
      g_strlcpy(reply->text, text, sizeof reply->text);
    return TRUE;
  case NODE_CLAIM: return claim(process, request->name, error);
  }
  return vt_set_error(error, EPROTO, "unknown request %u", request->op);
}

/* --- events --- */

static gboolean on_request(gint fd, GIOCondition condition, gpointer user_data)
{
  Process *process = user_data;
  g_autoptr(GError) error = NULL;
  NodeRequest request = {0};
  NodeReply reply = {0};

  ssize_t n = recv(fd, &request, sizeof request, MSG_DONTWAIT);
  if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
    g_main_loop_quit(process->loop); /* holder and engine are gone */
    return G_SOURCE_REMOVE;
  }
  if (n < (ssize_t)offsetof(NodeRequest, sector_size))
    return G_SOURCE_CONTINUE;
  request.name[sizeof request.name - 1] = request.new_name[sizeof request.new_name - 1] = '\0';
  reply.id = request.id;
  if (!execute(process, &request, &reply, &error)) {
    reply.err = vt_error_to_errno(error);
    g_strlcpy(reply.text, error->message, sizeof reply.text);
  }
  if (send(fd, &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
    g_message("nobody takes the answer to a request about block nodes: %s", g_strerror(errno));
  return G_SOURCE_CONTINUE;
}

/* Is each device still what we made? */
static void check_device(Process *process, const char *device)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init(&iter, process->nodes);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    Node *node = value;
    if (strcmp(node->device, device) != 0 || process->kind->is_ours(device, process->folder))
      continue;
    g_autofree char *name = g_strdup(key);
    g_autoptr(GError) error = NULL;
    NodeShape shape = node->shape;
    g_warning("%s, the block node of %s/%s, was taken away by somebody else: it is made again",
              device, process->vg, name);
    remove_link(process, name);
    g_hash_table_iter_remove(&iter);
    if (!show(process, name, &shape, &error))
      g_warning("%s/%s has no block node: %s", process->vg, name, error->message);
    return;
  }
}

/* "change@/devices/virtual/block/loop0\0ACTION=change\0..." */
static gboolean on_uevent(gint fd, GIOCondition condition, gpointer user_data)
{
  char text[8192];
  ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

  if (n <= 0)
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? G_SOURCE_CONTINUE
                                                                 : G_SOURCE_REMOVE;
  text[n] = '\0';
  if (strstr(text, "/block/")) {
    g_autofree char *name = g_path_get_basename(text);
    g_autofree char *device = g_strdup_printf("/dev/%s", name);
    check_device(user_data, device);
  }
  return G_SOURCE_CONTINUE;
}

static void listen_to_uevents(Process *process)
{
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int size = 1 << 20, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

  if (fd == -1 || bind(fd, (struct sockaddr *)&address, sizeof address) == -1) {
    g_message("block nodes that strangers take away will not be noticed: %s", g_strerror(errno));
    if (fd != -1)
      close(fd);
    return;
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  g_unix_fd_add(fd, G_IO_IN, on_uevent, process);
}

/* A device lost its connection: the engine died (and the next one waits for this process to show
 * its volumes), or was too slow for the kernel. Again until it works or the device is gone. */
static gboolean reconnect(gpointer user_data)
{
  Lost *lost = user_data;
  GHashTableIter iter;
  gpointer name, node;

  g_hash_table_iter_init(&iter, lost->process->nodes);
  while (g_hash_table_iter_next(&iter, &name, &node)) {
    g_autoptr(GError) error = NULL;
    if (strcmp(((Node *)node)->device, lost->device) != 0)
      continue;
    if (lost->process->kind->reconnect(lost->device, lost->process->vg, name, &error))
      break;
    g_warning("%s/%s: %s", lost->process->vg, (char *)name, error->message);
    return G_SOURCE_CONTINUE;
  }
  return G_SOURCE_REMOVE;
}

static void lost_free(gpointer user_data)
{
  g_free(((Lost *)user_data)->device);
  g_free(user_data);
}

static gboolean on_watch(gint fd, GIOCondition condition, gpointer user_data)
{
  Process *process = user_data;
  char *device = process->kind->watched(fd);

  if (!device)
    return condition & (G_IO_HUP | G_IO_NVAL) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
  Lost *lost = g_new0(Lost, 1);
  *lost = (Lost){process, device};
  if (reconnect(lost) == G_SOURCE_CONTINUE)
    g_timeout_add_seconds_full(G_PRIORITY_DEFAULT, RECONNECT_S, reconnect, lost, lost_free);
  else
    lost_free(lost);
  return G_SOURCE_CONTINUE;
}

static void watch_connections(Process *process)
{
  g_autoptr(GError) error = NULL;
  int fd = process->kind->watch(&error);

  if (fd == -1)
    g_warning("block nodes that lose their connection will not be noticed: %s", error->message);
  else
    g_unix_fd_add(fd, G_IO_IN, on_watch, process);
}

static gboolean on_term(gpointer user_data)
{
  g_main_loop_quit(((Process *)user_data)->loop);
  return G_SOURCE_CONTINUE;
}

/* --- beginning and end --- */

/* Learn what an earlier nodes process has made. Devices without a link are of no use to anybody;
 * links to devices that nothing is on lead nowhere. */
static void adopt(Process *process)
{
  g_autoptr(GPtrArray) devices =
      process->kind ? process->kind->list(process->folder) : g_ptr_array_new();
  g_autoptr(GHashTable) unlinked = g_hash_table_new(g_str_hash, g_str_equal);
  GDir *dir = g_dir_open(process->links, 0, NULL);
  GHashTableIter iter;
  gpointer device;
  const char *name;

  for (guint i = 0; i < devices->len; i++)
    g_hash_table_add(unlinked, devices->pdata[i]);
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = link_of(process, name);
    g_autofree char *target = g_file_read_link(path, NULL);
    if (target && process->kind && process->kind->is_left_over &&
        process->kind->is_left_over(target, name)) {
      process->kind->detach(target, NULL);
      unlink(path);
      continue;
    }
    if (!target || !is_our_link(process, path))
      continue;
    if (!g_hash_table_remove(unlinked, target)) {
      unlink(path);
      continue;
    }
    Node *node = g_new0(Node, 1);
    node->device = g_steal_pointer(&target);
    node->shape = shape_of(node->device);
    g_hash_table_replace(process->nodes, g_strdup(name), node);
  }
  if (dir)
    g_dir_close(dir);
  g_hash_table_iter_init(&iter, unlinked);
  while (g_hash_table_iter_next(&iter, &device, NULL)) {
    g_autoptr(GError) error = NULL;
    if (!take_away(process, device, &error))
      g_warning("%s, a block node of %s that was left over: %s", (char *)device, process->vg,
                error->message);
  }
}

static void process_init(Process *process, const char *vg, const char *folder, gboolean unserved)
{
  *process = (Process){.vg = g_strdup(vg),
                       .folder = g_strdup(folder),
                       .links = g_build_filename(settings_dev_dir(), vg, NULL),
                       .unserved = unserved};
  process->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free);
  process->kind = choose_kind(vg, &process->reason);
  adopt(process);
}

static void process_clear(Process *process)
{
  process->sync++;
  hide_unwanted(process);
  rmdir(process->links); /* stays when others have something in it */
  g_hash_table_unref(process->nodes);
  g_clear_pointer(&process->scan, block_scan_free);
  g_free(process->reason);
  g_free(process->links);
  g_free(process->folder);
  g_free(process->vg);
}

int node_process_main(const char *vg)
{
  g_autofree char *folder = settings_vg_file(vg, "volumes");
  Process process;

  process_init(&process, vg, folder, FALSE);
  process.loop = g_main_loop_new(NULL, FALSE);
  g_unix_signal_add(SIGTERM, on_term, &process);
  g_unix_fd_add(SERVICE_FD_NODES, G_IO_IN | G_IO_HUP, on_request, &process);
  if (process.kind)
    listen_to_uevents(&process);
  if (process.kind && process.kind->watch)
    watch_connections(&process);
  g_main_loop_run(process.loop);
  g_main_loop_unref(process.loop);
  process_clear(&process);
  return 0;
}

void node_process_clean(const char *vg, const char *folder)
{
  Process process;

  process_init(&process, vg, folder, TRUE);
  process_clear(&process);
}
