{{- define "pod.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "pod.labels" -}}
app.kubernetes.io/name: points-ledger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pod.security" -}}
runAsNonRoot: true
runAsUser: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The way to the brokers, logged in as one of ours: dict "root" $ "name" … */}}
{{- define "pod.kafka" -}}
{{- $kafka := .root.Values.kafka -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers says where the brokers are" $kafka.bootstrapServers | quote }}
- name: SHARDS
  value: {{ $kafka.shards | quote }}
- name: REPLICATION_FACTOR
  value: {{ $kafka.replicationFactor | quote }}
- name: MIN_INSYNC_REPLICAS
  value: {{ $kafka.minInsyncReplicas | quote }}
- name: KAFKA_SECURITY_PROTOCOL
  value: {{ $kafka.securityProtocol | quote }}
{{- if hasPrefix "SASL" $kafka.securityProtocol }}
- name: KAFKA_SASL_MECHANISM
  value: {{ $kafka.saslMechanism | quote }}
{{ include "pod.secret" (dict "name" "KAFKA_USERNAME" "key" (printf "%s-username" .name) "secret" $kafka.secret) }}
{{ include "pod.secret" (dict "name" "KAFKA_PASSWORD" "key" (printf "%s-password" .name) "secret" $kafka.secret) }}
{{- with $kafka.oauthTokenUrl }}
- name: KAFKA_OAUTH_TOKEN_URL
  value: {{ . | quote }}
{{- end }}
{{- with $kafka.oauthScope }}
- name: KAFKA_OAUTH_SCOPE
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.securityProtocol }}
- name: KAFKA_SSL_CA_FILE
  value: /run/kafka/ca.crt
{{- end }}
{{- if eq "SSL" $kafka.securityProtocol }}
- name: KAFKA_SSL_CERTIFICATE_FILE
  value: /run/kafka/{{ .name }}.pem
{{- end }}
{{- end }}

{{/* Its files: the authority's certificate, and our own for mTLS: dict "root" $ "name" … */}}
{{- define "pod.kafka.files" -}}
- name: kafka-{{ .name }}
  secret:
    secretName: {{ .root.Values.kafka.secret }}
    optional: true
    items:
      - {key: ca.crt, path: ca.crt}
      {{- if eq "SSL" .root.Values.kafka.securityProtocol }}
      - {key: {{ .name }}.pem, path: {{ .name }}.pem}
      {{- end }}
{{- end }}

{{- define "pod.database" -}}
- name: DATABASE_SSLMODE
  value: {{ .Values.database.sslmode | quote }}
{{- if hasPrefix "verify" .Values.database.sslmode }}
- name: DATABASE_SSL_ROOT_CERT
  value: /run/database/ca.crt
{{- end }}
{{- end }}

{{/* The certificate of the authority that the database's own is verified by. */}}
{{- define "pod.certificates" -}}
- name: database
  secret: {secretName: {{ .Values.database.secret }}, items: [{key: ca.crt, path: ca.crt}], optional: true}
{{- end }}

{{/* One entry of the database's secret as a variable: dict "name" … "key" … "secret" … */}}
{{- define "pod.secret" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end }}
