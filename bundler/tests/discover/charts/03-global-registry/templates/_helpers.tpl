{{/* The registry that counts: the global one, if there is one. */}}
{{- define "app.image" -}}
{{- $registry := default .image.registry .global.imageRegistry -}}
{{- printf "%s/%s:%s" $registry .image.repository (toString .image.tag) -}}
{{- end -}}
