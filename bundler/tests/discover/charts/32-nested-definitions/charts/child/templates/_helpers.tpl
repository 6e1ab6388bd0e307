{{- define "common.registry" }}docker.io/other{{ end -}}
{{- define "empty.override" }}:{{ .Chart.AppVersion }}{{ end -}}
