'''The text pages: `/metrics/live` (small, scraped each second) and `/metrics`.

For whoever writes rules. An open incident is two series without timestamps, both on both pages:

    thongsuot_incident{id,severity,cause,scope,site,check,system} 1
    thongsuot_incident_info{id,title,where,since,url} 1

`id` never changes and is unique over provinces and years (`phu-tho-250701-007`). `severity` is
`page` or `ticket`; it changes only when the page must take another route. Everything else may
change while the incident is open (a cause is understood better, another site joins), so nothing
else may be in the identity of the alert. `site`, `check` and `system` are left out where there is
no single one. `title` and `where` are Vietnamese texts for people, `since` is local time in words.
The rule, tried with promtool 2.42:

    - alert: Incident
      expr: max by (id, severity) (thongsuot_incident) == 1
      annotations:
        title: >-
          {{ range query (printf "topk(1, timestamp(thongsuot_incident_info{id=%q}))" $labels.id) }}{{ .Labels.title }}{{ end }}
        cause: >-
          {{ range query (printf "topk(1, timestamp(thongsuot_incident{id=%q}))" $labels.id) }}{{ .Labels.cause }}{{ end }}

`max by` instead of blanking labels (`labels: {cause: ''}`): when Prometheus itself is restarted
while a label changes, the old series gets no stale marker and both variants are found for five
minutes. Blanking then fails the whole rule ("vector contains metrics with the same labelset after
applying alert labels"), and with it every page; `max by` does not, and `topk(1, timestamp(…))`
takes the newer text. It also folds the copies of the two pages and of several Prometheus jobs.
'''
