# Tests of the dispatcher and its parts, without I/O.
set(DISPATCHER_TEST_SOURCES
  dispatcher_cancel_test.cc
  dispatcher_failure_test.cc
  dispatcher_lease_test.cc
  dispatcher_probe_test.cc
  dispatcher_random_test.cc
  dispatcher_scale_test.cc
  dispatcher_submit_test.cc
  dispatcher_transition_test.cc)
