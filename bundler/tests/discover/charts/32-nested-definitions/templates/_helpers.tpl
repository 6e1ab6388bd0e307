{{- define "common.registry" }}ghcr.io/acme{{ end -}}
{{- define "empty.override" }}{{ end -}}
