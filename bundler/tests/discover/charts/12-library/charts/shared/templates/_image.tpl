{{/*
The image of a map of parts. The digest wins over the tag; the chart's version stands in for a missing tag.
usage: include "shared.image" (dict "root" .Values.image "global" .Values.global "chart" .Chart)
*/}}
{{- define "shared.image" -}}
{{- $registry := .root.registry -}}
{{- with .global }}{{ if .imageRegistry }}{{ $registry = .imageRegistry }}{{ end }}{{ end -}}
{{- $mark := ":" -}}
{{- $end := .root.tag | toString -}}
{{- if not .root.tag }}{{ if .chart }}{{ $end = .chart.AppVersion | toString }}{{ end }}{{ end -}}
{{- if .root.digest }}{{ $mark = "@" }}{{ $end = .root.digest | toString }}{{ end -}}
{{- if $registry }}
{{- printf "%s/%s%s%s" $registry .root.repository $mark $end -}}
{{- else -}}
{{- printf "%s%s%s" .root.repository $mark $end -}}
{{- end -}}
{{- end -}}
