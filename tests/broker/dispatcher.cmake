# Tests of the dispatcher and its parts, without I/O.
set(DISPATCHER_TEST_SOURCES
  dispatcher_admission_test.cc
  dispatcher_cancel_test.cc
  dispatcher_failure_test.cc
  dispatcher_health_test.cc
  dispatcher_lease_test.cc
  dispatcher_letters_test.cc
  dispatcher_probe_test.cc
  dispatcher_progress_test.cc
  dispatcher_random_test.cc
  dispatcher_redrives_test.cc
  dispatcher_scale_test.cc
  dispatcher_submit_test.cc
  dispatcher_transition_test.cc
  failure_spike_test.cc
  size_prediction_test.cc
  worker_breaker_test.cc)
