# Plays millrace-encode for the worker's tests.
add_executable(fake_encoder ${PROJECT_SOURCE_DIR}/tests/fakes/fake_encoder.cc)
target_link_libraries(fake_encoder PRIVATE millrace_zygote_protocol)

add_executable(worker_tests
  scripted_broker.cc
  worker_child_host_test.cc
  worker_child_test.cc
  worker_program_test.cc
  worker_session_beat_test.cc
  worker_session_drain_test.cc
  worker_session_frozen_test.cc
  worker_session_task_test.cc)
target_link_libraries(worker_tests PRIVATE
  millrace_worker millrace_fixture_facts PkgConfig::ZMQ GTest::gtest_main GTest::gmock)
target_compile_definitions(worker_tests PRIVATE
  MILLRACE_ENCODE="$<TARGET_FILE:millrace-encode>"
  MILLRACE_FAKE_ENCODER="$<TARGET_FILE:fake_encoder>"
  MILLRACE_WORKER="$<TARGET_FILE:millrace-worker>")
add_dependencies(worker_tests fake_encoder millrace-encode millrace-worker)
gtest_discover_tests(worker_tests DISCOVERY_TIMEOUT 60 PROPERTIES LABELS worker_tests)
