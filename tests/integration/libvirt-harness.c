/* virt-thin - drives the storage backend's callbacks in a process of its own, so that sanitizers
 * can watch them SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: libvirt-harness BACKEND STOCK DRIVER VG/POOL FOLDER
 *
 * Loads libvirt's library and storage driver as libvirtd does, then the backend, and calls its
 * callbacks on a pool object made by libvirt in libvirtd's order (libvirt
 * src/storage/storage_driver.c). Prints TAP. The service must be startable (VIRT_THIN_PROGRAM),
 * FOLDER holds image.raw and image.qcow2 of 8 MiB.
 */
#include "config.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "libvirt/vtbackend-layout.h"

static VtLibvirt lv;
static VtLayout layout;
static VtBackend *backend;
static VtPoolObj *obj;
static guint count, failures;

#define MIB (1024ull * 1024)

static void result(gboolean good, const char *what)
{
  virErrorPtr error = virGetLastError();
  printf("%sok %u - %s\n", good ? "" : "not ", ++count, what);
  if (!good) {
    failures++;
    printf("# %s\n", error && error->message ? error->message : "no error is set");
  }
  virResetLastError();
}

/* A call that must fail, with an error that says @words. */
static void refused(int returned, const char *words, const char *what)
{
  virErrorPtr error = virGetLastError();
  result(returned < 0 && error && error->message && strstr(error->message, words), what);
}

static gpointer symbol(const char *name)
{
  gpointer address = dlsym(RTLD_DEFAULT, name);
  if (!address) {
    printf("Bail out! libvirt has no %s\n", name);
    exit(1);
  }
  return address;
}

static VtVolDef *parse(const char *format, ...) G_GNUC_PRINTF(1, 2);

static VtVolDef *parse(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *xml = g_strdup_vprintf(format, args);
  va_end(args);
  VtVolDef *vol = vtbackend_vol_def_parse(&lv, lv.pool_obj_get_def(obj), xml);
  g_assert(vol);
  return vol;
}

static guint64 number(VtVolDef *vol, guint32 offset)
{
  return VT_FIELD(vol, offset, guint64);
}

/* createVol, AddVol, buildVol or buildVolFrom, refreshVol: as the driver does. NULL: refused, and
 * @vol freed. */
static VtVolDef *create(VtVolDef *vol, VtVolDef *from, unsigned int flags)
{
  if (backend->create_vol(obj, vol) < 0) {
    lv.vol_def_free(vol);
    return NULL;
  }
  if (lv.pool_obj_add_vol(obj, vol) < 0)
    abort();
  lv.object_unlock(obj);
  int built =
      from ? backend->build_vol_from(obj, vol, from, flags) : backend->build_vol(obj, vol, flags);
  lv.object_lock(obj);
  if (built < 0) {
    if (from)
      backend->delete_vol(obj, vol, 0);
    lv.pool_obj_remove_vol(obj, vol);
    return NULL;
  }
  if (backend->refresh_vol(obj, vol) < 0 || backend->refresh_vol(obj, vol) < 0)
    return NULL;
  return vol;
}

static void drive_pool(const char *name)
{
  bool active = true;
  g_autofree char *wrong = g_strdup_printf("%s/more", name);
  result(backend->check_pool(obj, &active) == 0 && !active, "check: not served, not active");
  result(backend->start_pool(obj) == 0, "start");
  result(backend->check_pool(obj, &active) == 0 && active, "check: active");
  result(backend->refresh_pool(obj) == 0, "refresh");
  free(backend->find_sources(NULL, 0));
  char *sources = backend->find_sources(NULL, 0);
  result(sources && strstr(sources, name), "find sources");
  free(sources);
  refused(backend->build_pool(obj, VIR_STORAGE_POOL_BUILD_OVERWRITE |
                                       VIR_STORAGE_POOL_BUILD_NO_OVERWRITE),
          "exclude each other", "build with --overwrite and --no-overwrite is refused");
  refused(backend->build_pool(obj, 0), "is there already", "build of what exists is refused");
  refused(backend->build_pool(obj, 1u << 9), "unsupported flags",
          "build with unknown flags is refused");
  refused(backend->delete_pool(obj, 1), "unsupported flags", "delete with flags is refused");
  vtbackend_layout_set_string(lv.pool_obj_get_def(obj), layout.pool_source_name, wrong);
  refused(backend->refresh_pool(obj), "is not VG/POOL", "a wrong name is refused");
  result(backend->stop_pool(obj) == 0, "and the stop that follows does nothing");
  vtbackend_layout_set_string(lv.pool_obj_get_def(obj), layout.pool_source_name, name);
}

static void drive_volumes(const char *folder)
{
  VtVolDef *v1 =
      create(parse("<volume><name>v1</name><capacity>%llu</capacity></volume>", 8 * MIB), NULL, 0);
  result(v1 && number(v1, layout.vol_capacity) == 8 * MIB && number(v1, layout.vol_allocation) == 0,
         "create");
  if (!v1) {
    printf("Bail out! nothing can be tried without a volume\n");
    exit(1);
  }
  result(
      !create(parse("<volume><name>v1</name><capacity>%llu</capacity></volume>", 8 * MIB), NULL, 0),
      "the same name is refused");
  result(
      !create(parse("<volume><name>-x</name><capacity>%llu</capacity></volume>", 8 * MIB), NULL, 0),
      "a bad name is refused");
  result(!create(parse("<volume><name>v2</name><capacity>0</capacity></volume>"), NULL, 0),
         "no capacity is refused");
  result(
      !create(parse("<volume><name>v2</name><capacity>%llu</capacity></volume>", 8 * MIB), NULL, 1),
      "preallocation is refused, and the volume taken back");
  VtVolDef *clone = create(parse("<volume><name>v2</name><capacity>0</"
                                 "capacity><backingStore><path>%s</path></backingStore></volume>",
                                 VT_FIELD(v1, layout.vol_path, char *)),
                           NULL, 0);
  result(clone != NULL, "a clone by backing store");
  result(
      !create(
          parse("<volume><name>v3</name><capacity>0</capacity><backingStore><path>/nowhere</path></"
                "backingStore></volume>"),
          NULL, 0),
      "a backing store elsewhere is refused");
  result(create(parse("<volume><name>v3</name><capacity>%llu</capacity></volume>", 8 * MIB), v1,
                0) != NULL,
         "build from a volume of the pool");
  VtVolDef *raw = parse(
      "<volume "
      "type='file'><name>image.raw</name><key>k</key><capacity>%llu</capacity><target><path>%s/"
      "image.raw</path></target></volume>",
      8 * MIB, folder);
  result(backend->refresh_vol(obj, raw) == 0, "refresh of another pool's volume does nothing");
  VtVolDef *copy =
      create(parse("<volume><name>v4</name><capacity>%llu</capacity></volume>", 8 * MIB), raw, 0);
  result(copy && number(copy, layout.vol_physical) == 8 * MIB, "build from another pool's volume");
  result(
      !create(parse("<volume><name>v5</name><capacity>%llu</capacity></volume>", 8 * MIB), raw, 2),
      "as a reflink it is refused");
  lv.vol_def_free(raw);
  result(backend->resize_vol(obj, v1, 16 * MIB, 0) == 0, "resize");
  refused(backend->resize_vol(obj, v1, 16 * MIB, 1u << 7), "unsupported flags",
          "resize with unknown flags is refused");
  result(backend->resize_vol(obj, v1, 20 * MIB, VIR_STORAGE_VOL_RESIZE_ALLOCATE) == 0 &&
             backend->refresh_vol(obj, v1) == 0 && number(v1, layout.vol_allocation) == 20 * MIB,
         "resize and allocate");
  lv.object_unlock(obj);
  result(backend->wipe_vol(obj, v1, VIR_STORAGE_VOL_WIPE_ALG_ZERO, 0) == 0, "wipe");
  result(backend->wipe_vol(obj, clone, VIR_STORAGE_VOL_WIPE_ALG_TRIM, 0) == 0, "wipe by trim");
  refused(backend->wipe_vol(obj, clone, 99, 0), "not known", "an unknown algorithm is refused");
  lv.object_lock(obj);
}

static void drive_streams(VtVolDef *vol)
{
  virConnectPtr conn = virConnectOpen("test:///default");
  virStreamPtr up = virStreamNew(conn, 0), down = virStreamNew(conn, 0);
  static char sent[65536], got[65536];
  memset(sent, 0x5a, sizeof sent);
  lv.object_unlock(obj);
  refused(backend->upload_vol(obj, vol, (VtStream *)up, 100 * MIB, 1, 0), "bytes",
          "an upload beyond the end is refused");
  result(backend->upload_vol(obj, vol, (VtStream *)up, 0, sizeof sent,
                             VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) == 0,
         "upload");
  result(virStreamSend(up, sent, sizeof sent) == sizeof sent && virStreamFinish(up) == 0, "send");
  result(backend->download_vol(obj, vol, (VtStream *)down, 0, sizeof got, 0) == 0, "download");
  result(virStreamRecv(down, got, sizeof got) == sizeof got && memcmp(sent, got, sizeof got) == 0 &&
             virStreamFinish(down) == 0,
         "receive");
  lv.object_lock(obj);
  virStreamFree(up);
  virStreamFree(down);
  virConnectClose(conn);
}

static void drive_deletion(void)
{
  VtVolDef *snapshot =
      create(parse("<volume><name>snap_v4_a</name><capacity>0</capacity><backingStore><path>%s</"
                   "path></backingStore></volume>",
                   VT_FIELD(lv.vol_find_by_name(obj, "v4"), layout.vol_path, char *)),
             NULL, 0);
  result(snapshot != NULL, "a snapshot");
  VtVolDef *v4 = lv.vol_find_by_name(obj, "v4"), *v1 = lv.vol_find_by_name(obj, "v1");
  refused(backend->delete_vol(obj, v4, 1u << 9), "unsupported flags",
          "delete with unknown flags is refused");
  result(backend->delete_vol(obj, v4, VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS) == 0 &&
             !lv.vol_find_by_name(obj, "snap_v4_a"),
         "delete with snapshots");
  lv.pool_obj_remove_vol(obj, v4);
  result(backend->delete_vol(obj, v1, VIR_STORAGE_VOL_DELETE_ZEROED) == 0, "delete, zeroing first");
  result(backend->refresh_vol(obj, v1) < 0, "it cannot be asked about any more");
  lv.pool_obj_remove_vol(obj, v1);
}

int main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  if (argc != 6)
    return 2;
  setlinebuf(stdout); /* a sanitizer ends the process without a flush */
  if (!dlopen("libvirt.so.0", RTLD_NOW | RTLD_GLOBAL) || !dlopen(argv[3], RTLD_NOW | RTLD_GLOBAL) ||
      virInitialize() < 0) {
    printf("1..0 # SKIP %s\n", dlerror());
    return 0;
  }
  gpointer module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  int (*register_backend)(const char *) =
      module ? (int (*)(const char *))dlsym(module, "vtbackend_register") : NULL;
  result(register_backend && register_backend(argv[2]) == 0, "the backend registers");
  VtBackend *(*for_type)(int) = (VtBackend * (*)(int)) symbol("virStorageBackendForType");
  VtPoolObj *(*obj_new)(void) = (VtPoolObj * (*)(void)) symbol("virStoragePoolObjNew");
  void (*set_def)(VtPoolObj *, VtPoolDef *) =
      (void (*)(VtPoolObj *, VtPoolDef *))symbol("virStoragePoolObjSetDef");
  void (*end_api)(VtPoolObj **) = (void (*)(VtPoolObj **))symbol("virStoragePoolObjEndAPI");
  if (failures || !vtbackend_libvirt_resolve(&lv, &error) ||
      !vtbackend_layout_discover(&lv, &layout, &error)) {
    printf("Bail out! %s\n", error ? error->message : dlerror());
    return 1;
  }
  backend = for_type(3 /* logical */);
  g_autofree char *xml = g_strdup_printf(
      "<pool type='logical'><name>h</name><source><name>%s</name></source><target/></pool>",
      argv[4]);
  obj = obj_new(); /* locked */
  set_def(obj, vtbackend_pool_def_parse(&lv, xml));

  drive_pool(argv[4]);
  drive_volumes(argv[5]);
  drive_streams(lv.vol_find_by_name(obj, "v4"));
  drive_deletion();
  result(backend->stop_pool(obj) == 0, "stop");
  refused(backend->refresh_pool(obj), "is not served", "refresh without a service is an error");
  result(backend->stop_pool(obj) == 0, "and the stop that follows does nothing");
  result(backend->start_pool(obj) == 0 && backend->stop_pool(obj) == 0, "start and stop again");
  end_api(&obj);
  printf("1..%u\n", count);
  return failures ? 1 : 0;
}
