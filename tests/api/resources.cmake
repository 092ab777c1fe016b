# The tests of the API's resources, one file each, against a real server and a
# scripted broker.
target_sources(api_tests PRIVATE
  api_dead_letter_files_test.cc
  api_dead_letters_test.cc
  api_idempotency_test.cc
  api_events_lost_test.cc
  api_events_test.cc
  api_job_list_test.cc
  api_jobs_test.cc
  api_outputs_test.cc
  api_presets_test.cc
  api_probe_test.cc
  api_redrives_test.cc
  api_service_test.cc
  api_submit_test.cc
  api_uploads_test.cc
  broker_client_test.cc
  rereading_test.cc)
target_link_libraries(api_tests PRIVATE millrace_api PkgConfig::ZMQ spdlog::spdlog)
target_compile_definitions(api_tests PRIVATE SPDLOG_FMT_EXTERNAL)
