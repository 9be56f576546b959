# monitoring: what Prometheus and Grafana read
monitoringdir = $(pkgdatadir)/monitoring
dist_monitoring_DATA = monitoring/virt-thin.rules.yml monitoring/virt-thin.dashboard.json
