/* virt-thin - libvirt's client library, loaded by who needs it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It brings some forty libraries along: see library.h. Thread-safety: main thread only.
 */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "util/library.h"

#define LIBVIRT_CLIENT_FUNCTIONS(F)                                                                \
  F(virConnectClose)                                                                               \
  F(virConnectGetStoragePoolCapabilities)                                                          \
  F(virConnectGetURI)                                                                              \
  F(virConnectListAllDomains)                                                                      \
  F(virConnectListAllStoragePools)                                                                 \
  F(virConnectOpen)                                                                                \
  F(virDomainCreate)                                                                               \
  F(virDomainDefineXML)                                                                            \
  F(virDomainFree)                                                                                 \
  F(virDomainGetName)                                                                              \
  F(virDomainGetUUIDString)                                                                        \
  F(virDomainGetXMLDesc)                                                                           \
  F(virDomainIsActive)                                                                             \
  F(virDomainLookupByName)                                                                         \
  F(virGetLastError)                                                                               \
  F(virGetLastErrorCode)                                                                           \
  F(virSecretDefineXML)                                                                            \
  F(virSecretFree)                                                                                 \
  F(virSecretLookupByUUIDString)                                                                   \
  F(virSecretSetValue)                                                                             \
  F(virSetErrorFunc)                                                                               \
  F(virStoragePoolBuild)                                                                           \
  F(virStoragePoolCreate)                                                                          \
  F(virStoragePoolDefineXML)                                                                       \
  F(virStoragePoolDestroy)                                                                         \
  F(virStoragePoolFree)                                                                            \
  F(virStoragePoolGetAutostart)                                                                    \
  F(virStoragePoolGetName)                                                                         \
  F(virStoragePoolGetUUIDString)                                                                   \
  F(virStoragePoolGetXMLDesc)                                                                      \
  F(virStoragePoolIsActive)                                                                        \
  F(virStoragePoolIsPersistent)                                                                    \
  F(virStoragePoolLookupByName)                                                                    \
  F(virStoragePoolLookupByUUIDString)                                                              \
  F(virStoragePoolRefresh)                                                                         \
  F(virStoragePoolSetAutostart)                                                                    \
  F(virStoragePoolUndefine)

typedef struct {
  LIBVIRT_CLIENT_FUNCTIONS(VT_LIBRARY_POINTER)
} LibvirtClient;

/* Stays loaded. Error: ENOENT, it cannot be loaded or lacks a function. */
const LibvirtClient *libvirt_client(GError **error);
