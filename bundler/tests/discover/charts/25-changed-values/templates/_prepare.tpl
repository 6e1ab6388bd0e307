{{- define "prepare" -}}
{{- $_ := set .Values.defaults "registry" "mirror.example.com" -}}
{{- $_ := set .Values "old" (deepCopy .Values.web | merge (dict "tag" "24" "registry" "ghcr.io")) -}}
{{- range $name := list "api" "web" -}}
{{- $merged := merge (index $.Values $name) $.Values.defaults -}}
{{- end -}}
{{- end -}}
{{- define "whole" -}}
{{ .registry }}/{{ .name }}:{{ .tag }}
{{- end -}}
