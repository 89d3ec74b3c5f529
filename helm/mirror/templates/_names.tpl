{{/*
Names: 63 characters, as a label of DNS has. What is appended shortens what is before it, so that it stays.

mirror.name          the chart's name
mirror.fullname      the release's
mirror.suffixed      (dict "root" $ "suffix" "-x" "max" 63)
mirror.placed        (dict "root" $ "name" … "namespace" …), either as needed: a name in a namespace; where that is not the
                     release's, NAME.NAMESPACE, so that releases of one name can meet there (no label: 253 characters)
mirror.selector      labels that select the pods; they never change, since a Deployment's cannot
mirror.podLabels     those, and what values add; the chart's version is not among them, so that it alone restarts nothing
mirror.metadata      (dict "root" $ …) with "name", "namespace", "labels", "annotations", "weight" (of a hook) as needed
*/}}
{{- define "mirror.name" -}}
{{- .Values.nameOverride | default .Chart.Name | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mirror.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $own := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $own | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mirror.suffixed" -}}
{{- $room := sub (.max | default 63) (len .suffix) | int -}}
{{- include "mirror.fullname" .root | trunc $room | trimSuffix "-" }}{{ .suffix -}}
{{- end -}}

{{- define "mirror.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "mirror.placed" -}}
{{- $home := include "mirror.namespace" .root -}}
{{- .name | default (include "mirror.fullname" .root) -}}
{{- if ne $home (.namespace | default $home) }}.{{ $home }}{{ end -}}
{{- end -}}

{{- define "mirror.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "mirror.fullname" .) "default") -}}
{{- end -}}

{{- define "mirror.selector" -}}
app.kubernetes.io/name: {{ include "mirror.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mirror.podLabels" -}}
{{- $selector := include "mirror.selector" . | fromYaml -}}
{{- merge $selector .Values.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "mirror.metadata" -}}
{{- $root := .root -}}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $own := dict
  "helm.sh/chart" $chart
  "app.kubernetes.io/version" (toString $root.Chart.AppVersion)
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "linkerd-mirror"
-}}
{{- $labels := merge (include "mirror.selector" $root | fromYaml) $own (.labels | default dict) $root.Values.commonLabels -}}
{{- $annotations := merge (dict) (include "mirror.hook" (dict "root" $root "weight" .weight) | fromYaml) (.annotations | default dict) $root.Values.commonAnnotations -}}
name: {{ include "mirror.placed" . }}
namespace: {{ .namespace | default (include "mirror.namespace" $root) }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Of a Job that is a hook, what it needs is a hook too, of a lower weight: before an installation there is nothing else.
Helm leaves hooks behind; the next ones replace them, or the release takes them over, by its name on them, when `kind`
has become another.
*/}}
{{- define "mirror.hook" -}}
{{- if and .weight (eq .root.Values.kind "Job") .root.Values.job.hooks -}}
helm.sh/hook: {{ join "," .root.Values.job.hooks }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation
meta.helm.sh/release-name: {{ .root.Release.Name }}
meta.helm.sh/release-namespace: {{ .root.Release.Namespace }}
{{- end -}}
{{- end -}}

{{/* The image of every container, those of tests included: [registry/]repository[:tag][@digest]. */}}
{{- define "mirror.image" -}}
{{- $image := .Values.image -}}
{{- with .Values.global.imageRegistry | default $image.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- $image.repository -}}
{{- with $image.tag | default (ternary "" .Chart.AppVersion (ne $image.digest "")) }}:{{ . }}{{ end -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "mirror.imagePullSecrets" -}}
{{- $named := list -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets -}}
{{- $named = append $named (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $named | uniq -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
