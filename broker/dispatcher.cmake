# The sources of the dispatcher: everything in this folder that decides and does no I/O.
set(DISPATCHER_SOURCES
  dispatcher.cc
  dispatcher_clients.cc
  dispatcher_encoders.cc
  dispatcher_draft.cc
  dispatcher_leases.cc
  dispatcher_lifecycle.cc
  dispatcher_report.cc
  dispatcher_views.cc
  dispatcher_workers.cc
  job_table.cc
  probe_table.cc
  retry_policy.cc
  task_queue.cc
  worker_registry.cc)
