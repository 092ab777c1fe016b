# The encoder's tests; what came out is read by ffprobe and ffmpeg, apart from our own code.
add_executable(encode_tests
  encode_copy_test.cc
  encode_excerpt_test.cc
  encode_fixtures_test.cc
  encode_outputs_test.cc
  encode_picture_test.cc
  encode_process_test.cc
  encode_progress_test.cc
  encode_queue_test.cc
  encode_task.cc)
target_link_libraries(encode_tests PRIVATE
  millrace_encode_lib millrace_fixtures millrace_fixture_facts GTest::gtest_main)
target_compile_definitions(encode_tests PRIVATE MILLRACE_ENCODE="$<TARGET_FILE:millrace-encode>")
add_dependencies(encode_tests millrace-encode)
gtest_discover_tests(encode_tests DISCOVERY_TIMEOUT 60 PROPERTIES LABELS encode_tests)
