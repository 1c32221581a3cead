{{/* Names are fixed: a cluster has one Tenantry, and its ClusterRoles are bound by name. */}}
{{- define "tenantry.name" -}}tenantry-operator{{- end }}

{{- define "tenantry.user" -}}system:serviceaccount:{{ .Release.Namespace }}:{{ include "tenantry.name" . }}{{- end }}

{{- define "tenantry.selector" -}}
app.kubernetes.io/name: tenantry
app.kubernetes.io/component: operator
{{- end }}

{{- define "tenantry.labels" -}}
{{ include "tenantry.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "tenantry.image" -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end }}

{{- define "tenantry.port" -}}
{{ regexFind "[0-9]+$" .Values.metrics.address }}
{{- end }}

{{- define "tenantry.siteId" -}}
{{ .Values.site.id | default (printf "site-%s" .Values.site.name) }}
{{- end }}

{{- define "tenantry.priorityClass" -}}
{{- if .Values.priorityClass.create }}{{ include "tenantry.name" . }}{{ else }}{{ .Values.priorityClass.name }}{{ end }}
{{- end }}

{{/* An object that stays when the release is uninstalled. Takes root, kind, name and spec. */}}
{{- define "tenantry.kept" -}}
apiVersion: tenantry.dev/v1alpha1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  labels:
    {{- include "tenantry.labels" .root | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  {{- toYaml .spec | nindent 2 }}
{{- end }}

{{/* The users whom a policy lets through, as a CEL list. */}}
{{- define "tenantry.allowedUsers" -}}
[{{ include "tenantry.user" . | squote }}{{ range .Values.admission.allowedUsers }}, {{ . | squote }}{{ end }}]
{{- end }}
