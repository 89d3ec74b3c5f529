{{/*
The pod of every kind.

mirror.pod             (dict "root" $ "command" LIST "probes" MAP "restartPolicy" "Never"): a pod template
mirror.tmp.env         variables that keep everything that is written below /tmp
*/}}
{{- define "mirror.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $inCluster := include "mirror.config.inCluster" $root -}}
metadata:
  labels:
    {{- include "mirror.podLabels" $root | nindent 4 }}
  annotations:
    {{- $own := dict "linkerd.io/inject" "disabled" }}
    {{- if not $values.existingConfigMap }}
    {{- $_ := set $own "checksum/config" (include "mirror.config.data" $root | sha256sum) }}
    {{- end }}
    {{- /* The mirror must work when Linkerd does not, and a Job would never end beside a proxy. */}}
    {{- merge (dict) $values.podAnnotations $own | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "mirror.serviceAccountName" $root }}
  automountServiceAccountToken: {{ eq $inCluster "yes" }}
  # Kubernetes would set MIRROR_PORT and others for a Service named mirror, where the settings look for their own.
  enableServiceLinks: false
  {{- with include "mirror.imagePullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  containers:
    - name: mirror
      image: {{ include "mirror.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - --config
        - /etc/mirror/config.toml
        - --log-format
        - {{ $values.logFormat }}
        - --log-level
        - {{ $values.logLevel }}
        {{- toYaml (concat .command $values.extraArgs) | nindent 8 }}
      {{- with $values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .probes }}
      ports:
        - name: http
          containerPort: {{ include "mirror.config.port" $root }}
          protocol: TCP
      {{- range $name, $probe := . }}
      {{- with $probe }}
      {{ $name }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "mirror.tmp.env" . | nindent 8 }}
        {{- include "mirror.pod.env" $root | nindent 8 }}
        {{- with $values.extraEnv }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- tpl (toYaml .) $root | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/mirror
          readOnly: true
        - name: tmp
          mountPath: /tmp
        {{- if $values.registryCredentials }}
        - name: credentials
          mountPath: /var/run/mirror/credentials
          readOnly: true
        {{- end }}
        {{- if $values.dockerConfig.existingSecret }}
        - name: docker-config
          mountPath: /var/run/mirror/docker
          readOnly: true
        {{- end }}
        {{- if include "mirror.caCertificates" $root }}
        - name: ca-certificates
          mountPath: /var/run/mirror/ca
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
    {{- with $values.extraContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ $values.existingConfigMap | default (include "mirror.fullname" $root) }}
    - name: tmp
      emptyDir:
        sizeLimit: {{ $values.tmp.sizeLimit }}
    {{- with $values.registryCredentials }}
    - name: credentials
      projected:
        defaultMode: 0440
        sources:
          {{- range $host, $credential := . }}
          - secret:
              name: {{ $credential.existingSecret }}
              items:
                - key: {{ $credential.passwordKey | default "password" }}
                  path: {{ printf "%s/password" $host | quote }}
          {{- end }}
    {{- end }}
    {{- with $values.dockerConfig.existingSecret }}
    - name: docker-config
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: {{ $values.dockerConfig.key }}
            path: config.json
    {{- end }}
    {{- with include "mirror.caCertificates" $root }}
    - name: ca-certificates
      {{- . | nindent 6 }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "hostAliases" "dnsConfig" }}
  {{- with index $values $key }}
  {{ $key }}:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
{{- end -}}

{{- define "mirror.tmp.env" -}}
- name: HOME
  value: /tmp
- name: XDG_CACHE_HOME
  value: /tmp/cache
- name: HELM_CACHE_HOME
  value: /tmp/helm/cache
- name: HELM_CONFIG_HOME
  value: /tmp/helm/config
- name: HELM_DATA_HOME
  value: /tmp/helm/data
{{- end -}}

{{- define "mirror.pod.env" -}}
{{- if and .Values.existingConfigMap .Values.registryCredentials }}
- name: MIRROR_REGISTRIES
  value: {{ include "mirror.config.registries" . | quote }}
{{- end }}
{{- range $host, $credential := .Values.registryCredentials }}
{{- if not $credential.username }}
- name: MIRROR_REGISTRIES__{{ regexReplaceAll "[^A-Z0-9]" (upper $host) "_" }}__USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ $credential.existingSecret }}
      key: {{ $credential.usernameKey | default "username" }}
{{- end }}
{{- end }}
{{- if .Values.dockerConfig.existingSecret }}
- name: DOCKER_CONFIG
  value: /var/run/mirror/docker
{{- end }}
{{- if include "mirror.caCertificates" . }}
- name: SSL_CERT_FILE
  value: /var/run/mirror/ca/ca.crt
{{- end }}
{{- range $name, $value := dict "HTTP_PROXY" .Values.proxy.httpProxy "HTTPS_PROXY" .Values.proxy.httpsProxy "NO_PROXY" .Values.proxy.noProxy }}
{{- with $value }}
- name: {{ $name }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The volume with the authorities, if there are any. */}}
{{- define "mirror.caCertificates" -}}
{{- with .Values.caCertificates -}}
{{- if .existingConfigMap -}}
configMap:
  name: {{ .existingConfigMap }}
  items: [{key: {{ .key }}, path: ca.crt}]
{{- else if .existingSecret -}}
secret:
  secretName: {{ .existingSecret }}
  items: [{key: {{ .key }}, path: ca.crt}]
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A Job: (dict "root" $). Bad input (exit code 2) and a refusal (3) fail it at once, since another try would say the same; a
pod that a drained node took is no failure. One shard of several fails alone, and the others go on: before 1.29 Kubernetes
counts by Job only, so that there a shard is tried again, at intervals that grow, until all have had their time.
*/}}
{{- define "mirror.job" -}}
{{- $job := .root.Values.job -}}
{{- $isSharded := gt (int $job.shards) 1 -}}
{{- $isOld := semverCompare "<1.29.0-0" .root.Capabilities.KubeVersion.Version -}}
{{- $command := list "sync" -}}
{{- if $isSharded }}
{{- $command = list "sync" "--shard" (printf "$(JOB_COMPLETION_INDEX)/%d" (int $job.shards)) }}
completionMode: Indexed
completions: {{ $job.shards }}
parallelism: {{ $job.shards }}
{{- end }}
{{- if not $isSharded }}
backoffLimit: {{ $job.backoffLimit }}
{{- else if $isOld }}
backoffLimit: 2147483647
{{- else }}
backoffLimitPerIndex: {{ $job.backoffLimit }}
{{- end }}
activeDeadlineSeconds: {{ $job.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" $job.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ $job.ttlSecondsAfterFinished }}
{{- end }}
podFailurePolicy:
  rules:
    {{- if not (and $isSharded $isOld) }}
    - action: {{ $isSharded | ternary "FailIndex" "FailJob" }}
      onExitCodes:
        containerName: mirror
        operator: In
        values: [2, 3]
      {{- /* up to 1.28 the published schema asks for them, empty or not, and Helm and kubectl validate by it */}}
      {{- if $isOld }}
      onPodConditions: []
      {{- end }}
    {{- end }}
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  {{- include "mirror.pod" (dict "root" .root "command" $command "restartPolicy" "Never") | nindent 2 }}
{{- end -}}
