{{/*
What the configuration is, and what the cluster must know of it.

mirror.config.data        the ConfigMap's data
mirror.config.registries  JSON: what `registryCredentials` add to `registries`
mirror.config.port        the port of server.listen
mirror.config.inCluster   not empty where the values go into ConfigMaps
mirror.config.urls        JSON: every host that is contacted, as URL or as HOST[:PORT][/PATH], the built-in ones aside
*/}}
{{- define "mirror.config.data" -}}
{{- $config := deepCopy .Values.config -}}
{{- with include "mirror.config.registries" . | fromJson -}}
{{- $_ := set $config "registries" (merge . ($config.registries | default dict)) -}}
{{- end -}}
config.toml: |
  {{- include "mirror.toml" (dict "table" $config "path" list) | trim | nindent 2 }}
{{- range $name, $text := .Values.configFiles }}
{{ $name | quote }}: {{ $text | toJson }}
{{- end }}
{{- end -}}

{{- define "mirror.config.registries" -}}
{{- $registries := dict -}}
{{- range $host, $credential := .Values.registryCredentials -}}
{{- $registry := dict "password_file" (printf "/var/run/mirror/credentials/%s/password" $host) -}}
{{- with $credential.username }}{{ $_ := set $registry "username" . }}{{ end -}}
{{- $_ := set $registries $host $registry -}}
{{- end -}}
{{- $registries | toJson -}}
{{- end -}}

{{- define "mirror.config.port" -}}
{{- dig "server" "listen" "" .Values.config | regexFind "[0-9]+$" | default "8080" -}}
{{- end -}}

{{- define "mirror.config.inCluster" -}}
{{- dig "overrides" "config_maps" "enabled" false .Values.config | ternary "yes" "" -}}
{{- end -}}

{{- define "mirror.config.urls" -}}
{{- $urls := list (.Values.config.versions_url | default "") .Values.proxy.httpProxy .Values.proxy.httpsProxy -}}
{{- range .Values.config.channels }}{{ $urls = append $urls .chart_repository }}{{ end -}}
{{- range .Values.config.destinations }}{{ $urls = append $urls (.registry | default "") }}{{ end -}}
{{- range $host, $registry := .Values.config.registries -}}
{{- $urls = append $urls ($registry.alias | default $registry.endpoint | default $host) -}}
{{- end -}}
{{- $urls | uniq | compact | toJson -}}
{{- end -}}

{{/* JSON: TCP ports that are connected to, as text. */}}
{{- define "mirror.egress.ports" -}}
{{- $ports := list "443" -}}
{{- range include "mirror.config.urls" . | fromJsonArray -}}
{{- $authority := regexReplaceAll "^https?://(.*@)?" . "" | regexFind "^[^/]*" -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $authority | trimPrefix ":" | default (hasPrefix "http://" . | ternary "80" "443")) -}}
{{- end -}}
{{- /* the API server, at its Service's port and at its own, since policies see where a Service leads to */ -}}
{{- if include "mirror.config.inCluster" . }}{{ $ports = append $ports "6443" }}{{ end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* JSON: hosts that are connected to; of ECR also its API, STS, and the bucket that blobs are redirected to. */}}
{{- define "mirror.egress.hosts" -}}
{{- $hosts := .Values.ciliumNetworkPolicy.fqdns -}}
{{- range include "mirror.config.urls" . | fromJsonArray -}}
{{- $host := regexReplaceAll "^https?://(.*@)?" . "" | regexFind "^[^/]*" | regexFind "^[^:]*" -}}
{{- $hosts = append $hosts $host -}}
{{- if regexMatch "\\.dkr[.-]ecr" $host -}}
{{- $region := regexReplaceAll "^[0-9]+\\.dkr[.-]ecr(-fips)?\\.([a-z0-9-]+)\\..*$" $host "${2}" -}}
{{- $domain := hasSuffix ".cn" $host | ternary "amazonaws.com.cn" "amazonaws.com" -}}
{{- $hosts = concat $hosts (list
  (printf "api.ecr.%s.%s" $region $domain) (printf "api.ecr-fips.%s.%s" $region $domain) (printf "ecr.%s.api.aws" $region)
  (printf "sts.%s.%s" $region $domain) (printf "prod-%s-starport-layer-bucket.s3.%s.%s" $region $region $domain)
  (printf "prod-%s-starport-layer-bucket.s3.dualstack.%s.%s" $region $region $domain)) -}}
{{- end -}}
{{- end -}}
{{- $hosts | uniq | compact | toJson -}}
{{- end -}}
