# The API's resources and the program. The one file that speaks ZeroMQ is
# broker_client.cc.
set(shipped_presets
  presets/audio-aac.json
  presets/audio-mp3.json
  presets/audio-opus.json
  presets/mp4-av1-1080p.json
  presets/mp4-h264-1080p.json
  presets/mp4-h264-360p.json
  presets/mp4-h264-480p.json
  presets/mp4-h264-720p.json
  presets/mp4-hevc-1080p.json
  presets/poster.json
  presets/remux-mkv.json
  presets/remux-mp4.json
  presets/thumbnails.json
  presets/webm-av1-720p.json
  presets/webm-vp9-1080p.json
  presets/webm-vp9-720p.json)
list(TRANSFORM shipped_presets PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
list(JOIN shipped_presets "," shipped_presets_argument)
set(openapi_document ${PROJECT_SOURCE_DIR}/docs/openapi.json)
set(embedded_source ${CMAKE_CURRENT_BINARY_DIR}/embedded_files.cc)
add_custom_command(
  OUTPUT ${embedded_source}
  COMMAND ${CMAKE_COMMAND} -DOUT=${embedded_source} -DOPENAPI=${openapi_document}
          -DPRESETS=${shipped_presets_argument} -P ${CMAKE_CURRENT_SOURCE_DIR}/embed.cmake
  DEPENDS ${shipped_presets} ${openapi_document} embed.cmake
  COMMENT "Embedding presets and openapi.json"
  VERBATIM)

add_library(millrace_api STATIC
  api.cc
  broker_client.cc
  content_disposition.cc
  dead_letter_file_routes.cc
  dead_letter_files.cc
  dead_letter_routes.cc
  dead_letters.cc
  idempotency_key.cc
  input_facts.cc
  job_list_route.cc
  job_reply.cc
  job_routes.cc
  job_waiter.cc
  output_routes.cc
  preset_routes.cc
  presets.cc
  probe_route.cc
  purge_routes.cc
  redrive_routes.cc
  replies.cc
  request_reader.cc
  service_routes.cc
  submit_route.cc
  upload_routes.cc
  work_queue.cc
  ${embedded_source})
target_link_libraries(millrace_api
  PUBLIC millrace_core millrace_http_server
  PRIVATE PkgConfig::ZMQ spdlog::spdlog Threads::Threads)
target_compile_definitions(millrace_api PRIVATE SPDLOG_FMT_EXTERNAL)

add_executable(millrace-api main.cc)
target_link_libraries(millrace-api PRIVATE millrace_api spdlog::spdlog)
target_compile_definitions(millrace-api PRIVATE SPDLOG_FMT_EXTERNAL)
