# docs/monitoring: what Prometheus and Grafana read
monitoringdir = $(pkgdatadir)/monitoring
dist_monitoring_DATA = docs/monitoring/virt-thin.rules.yml docs/monitoring/virt-thin.dashboard.json
