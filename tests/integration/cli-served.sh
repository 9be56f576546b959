#!/bin/bash
# virt-thin - every command of the program through a service
# SPDX-License-Identifier: LGPL-2.1-or-later
exec bash "$(dirname "$0")/cli-volumes.sh" served
