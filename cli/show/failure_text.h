#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace millrace::cli {

// What went wrong with a job, in words for people. Pure functions of the error of a job, of a
// dead letter or of its report: {"code", "blame", "detail", "retryable"?, "context"?}.

// "corrupt_media, blame: media; another try cannot help".
std::string DescribeBlame(const nlohmann::json& error);
// Where in the media and in the encoder, out of the error's context: "decode of h264, stream 0, at
// 1.64 s, byte 31337"; "" if nothing is known.
std::string DescribePlace(const nlohmann::json& context);
// The place, FFmpeg's own words, the signal, and the job that found the input out, a line each.
std::string DescribeFacts(const nlohmann::json& error);
// One sentence: who has to do what for the next try to end differently.
std::string WhoMustAct(const nlohmann::json& error);

}  // namespace millrace::cli
