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

{{- define "tenantry.databasePriorityClass" -}}
{{- if .Values.databasePriorityClass.create }}tenantry-database{{ else }}{{ .Values.databasePriorityClass.name }}{{ end }}
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

{{/* The way to the cluster's own DNS, as one rule of egress: what asks others can tell them everything. */}}
{{- define "tenantry.names" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    {{- range .Values.site.dnsCidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end }}

{{/* Addresses outside, as peers: the same as in the policies of tenants (core/src/address.rs; a test compares). */}}
{{- define "tenantry.outside" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except:
      [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 0.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 168.63.129.16/32, 192.0.0.0/24, 198.18.0.0/15, 224.0.0.0/4, 240.0.0.0/4
      {{- range .Values.site.closedCidrs }}{{ if not (or (contains ":" .) (hasSuffix "/0" .)) }}, {{ . }}{{ end }}{{ end }}]
{{- if .Values.site.outsideIpv6 }}
- ipBlock:
    cidr: 2000::/3
    except:
      ["2001::/23", "2001:db8::/32", "2002::/16"
      {{- range .Values.site.closedCidrs }}{{ if regexMatch "^[23][0-9a-f]{3}:.*/([4-9]|[1-9][0-9]+)$" . }}, {{ . | quote }}{{ end }}{{ end }}]
{{- end }}
{{- range .Values.site.internalCidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end }}
