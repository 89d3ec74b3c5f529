{{/*
Values as TOML. Helm's own toToml will not do: numbers of a values file are floats to it (a quota of 1000000000 comes out
as 1e+09 in Helm 4 and as 1000000000.0 in Helm 3, neither a whole number), and what it cannot write, it writes as the text
of the error. JSON's numbers are TOML's, whole ones without a point.

mirror.toml         a table: its own keys first, then the tables below it, each with its header
                    (dict "table" MAP "path" LIST of the keys that lead to it, spelt)
mirror.toml.value   anything else, in one line; a table in a list is an inline one

A key whose value is null is left out, as Helm leaves out what null takes away.
*/}}
{{- define "mirror.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "mirror.toml.key" $key }} = {{ include "mirror.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $below := append $path (include "mirror.toml.key" $key) }}

[{{ join "." $below }}]
{{- include "mirror.toml" (dict "table" $value "path" $below) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mirror.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ include "mirror.toml.string" . }}{{ end -}}
{{- end -}}

{{- define "mirror.toml.value" -}}
{{- if kindIs "string" . -}}
{{- include "mirror.toml.string" . -}}
{{- else if kindIs "slice" . -}}
[{{ range $index, $each := . }}{{ if $index }}, {{ end }}{{ include "mirror.toml.value" $each }}{{ end }}]
{{- else if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $pairs = append $pairs (printf "%s = %s" (include "mirror.toml.key" $key) (include "mirror.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "invalid" . -}}
{{- fail "config: a list holds null, which TOML cannot say" -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/*
JSON's escapes are TOML's too; what JSON leaves as it is and TOML (DEL) or YAML (the others) cannot hold is escaped here.
*/}}
{{- define "mirror.toml.string" -}}
{{- $text := toJson . -}}
{{- range concat (untilStep 127 160 1) (list 65279 65534 65535) -}}
{{- $text = replace (printf "%c" .) (printf "\\u%04x" .) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}
