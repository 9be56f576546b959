/* virt-thin - metrics as OpenMetrics 1.0 text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Written so that a reader of Prometheus's older text format, as node_exporter's textfile
 * collector, takes it, too: gauges, histograms and summaries alone. Thread-safety: pure functions.
 */
#pragma once

#include "metrics/collect.h"

#define METRICS_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define METRICS_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

/* The caller's. A number that is not known has no line. */
char *metrics_format(const Metrics *metrics);
