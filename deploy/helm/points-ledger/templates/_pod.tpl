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

{{- define "pod.kafka" -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers says where the brokers are" .Values.kafka.bootstrapServers | quote }}
- name: SHARDS
  value: {{ .Values.kafka.shards | quote }}
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
