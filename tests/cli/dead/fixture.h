#pragma once

#include "tests/cli/client/commands_fixture.h"

namespace millrace::cli {

inline FakeHttpReply NoLetter() {
  return Problem(Error(ErrorCode::kDeadLetterNotFound, "there is no job job_x"));
}

// A letter as GET /v1/dead-letters lists it.
inline json LetterOf(const std::string& job) {
  return {{"job", job},
          {"generation", 2},
          {"state", "open"},
          {"died_at", "2026-11-25T22:15:24.123Z"},
          {"closed_at", nullptr},
          {"code", "corrupt_media"},
          {"blame", "media"},
          {"detail", "the picture cannot be decoded"},
          {"stage", "decode"},
          {"codec", "h264"},
          {"signature", "00112233aabbccdd"},
          {"signature_text", "corrupt_media in decode of h264: error while decoding MB # #"},
          {"input_name", "holiday.mov"},
          {"input_sha256", "abc"},
          {"worker", "host-a/1"}};
}

// A letter with report and files, as GET /v1/dead-letters/{job} answers it.
inline json WholeLetterOf(const std::string& job) {
  json letter = LetterOf(job);
  letter["report"] = {
      {"version", 2},
      {"error",
       {{"code", "corrupt_media"},
        {"blame", "media"},
        {"detail", "the picture cannot be decoded"},
        {"context",
         {{"stage", "decode"},
          {"codec", "h264"},
          {"stream", 0},
          {"pts_seconds", 1.64},
          {"byte_offset", 31337},
          {"ffmpeg", "error while decoding MB 3 4\x1b[31m"}}}}},
      {"external_id", ""},
      {"input", {{"upload", "upl_1"}}},
      {"input_facts", {{"name", "holiday.mov"}, {"bytes", 1400000}}},
      {"spec", {{"outputs", {{{"name", "web"}}, {{"name", "poster"}}}}}},
      {"attempts",
       {{{"fence", 7},
         {"worker", "host-a/1"},
         {"started_at", "2026-11-25T22:15:20.000Z"},
         {"finished_at", "2026-11-25T22:15:21.500Z"},
         {"outcome", "failed"},
         {"failure",
          {{"error", {{"code", "encoder_crashed"}, {"detail", "ended by SIGSEGV"}}},
           {"usage", {{"peak_rss_bytes", 52000000}, {"cpu_seconds", 1.2}, {"signal", 11}}},
           {"log_tail", json::array()}}}},
        {{"fence", 9},
         {"worker", "host-b/1"},
         {"started_at", "2026-11-25T22:15:22.000Z"},
         {"finished_at", "2026-11-25T22:15:24.000Z"},
         {"outcome", "failed"},
         {"failure",
          {{"error", {{"code", "corrupt_media"}, {"detail", "the picture cannot be decoded"}}},
           {"usage", {{"peak_rss_bytes", 48000000}, {"cpu_seconds", 1.9}, {"exit_status", 65}}},
           {"log_tail", {"[h264] no frame!", "giving up"}}}}}}}};
  letter["files"] = {{{"name", "input"}, {"bytes", 5}, {"url", "x"}},
                     {{"name", "log-9.txt"}, {"bytes", 3}, {"url", "x"}},
                     {{"name", "repro.sh"}, {"bytes", 10}, {"url", "x"}},
                     {{"name", "report.json"}, {"bytes", 2}, {"url", "x"}}};
  return letter;
}

}  // namespace millrace::cli
