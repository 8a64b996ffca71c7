{{/* The name of a part: candor.name (list $ "server"). */}}
{{- define "candor.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" ($root.Release.Name | trunc 45 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/* The labels by which a part is selected: candor.selector (list $ "server"). */}}
{{- define "candor.selector" -}}
app.kubernetes.io/name: candor
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "candor.labels" -}}
{{ include "candor.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{/* An image by digest, or by tag: candor.image (list $ .Values.server.image). */}}
{{- define "candor.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What Pod Security calls restricted, and more. */}}
{{- define "candor.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "candor.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/*
Copies configuration and keys to a folder in memory. What a Secret mounts may be read by a group,
and the programs refuse such keys; and the server's control socket is beside its configuration.
*/}}
{{- define "candor.keysContainer" -}}
name: keys
image: {{ include "candor.image" (list . .Values.setupImage) }}
command:
  - /bin/sh
  - -euc
  - |
    umask 077
    mkdir -p /run/candor/home/keys
    cp -L --no-preserve=mode /etc/candor/* /run/candor/home/
    cp -L --no-preserve=mode /secrets/keys/* /run/candor/home/keys/
securityContext:
  {{- include "candor.containerSecurity" . | nindent 2 }}
resources:
  requests: {cpu: 10m, memory: 16Mi}
  limits: {memory: 32Mi}
volumeMounts:
  - {name: config, mountPath: /etc/candor, readOnly: true}
  - {name: keys, mountPath: /secrets/keys, readOnly: true}
  - {name: home, mountPath: /run/candor}
{{- end -}}

{{/* A volume claim: candor.claim (list "store" .Values.server.store). */}}
{{- define "candor.claim" -}}
{{- $claim := index . 1 -}}
metadata:
  name: {{ index . 0 }}
spec:
  # One pod, not only one node: a second one would be a second writer.
  accessModes: [ReadWriteOncePod]
  {{- with $claim.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ $claim.size }}
{{- end -}}

{{/* Probes of the port `http`: candor.probes "HTTP". */}}
{{- define "candor.probes" -}}
# A start reads the journal and every leaf: up to half an hour.
startupProbe:
  httpGet: {path: /livez, port: http, scheme: {{ . }}}
  periodSeconds: 5
  failureThreshold: 360
livenessProbe:
  httpGet: {path: /livez, port: http, scheme: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http, scheme: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
