#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace millrace::cli {

// Describes failures for people. Pure functions of the error of a job, of a dead letter or of its
// report: {"code", "blame", "detail", "retryable"?, "context"?}.

// "corrupt_media, blame: media; another try cannot help".
std::string DescribeBlame(const nlohmann::json& error);
// The place of the failure in encoder and media, from the error's context: "decode of h264, stream
// 0, at 1.64 s, byte 31337"; "" if nothing is known.
std::string DescribePlace(const nlohmann::json& context);
// A line each for the place, FFmpeg's own words, the signal, and the job that first showed that the
// input crashes encoders.
std::string DescribeFacts(const nlohmann::json& error);
// One sentence: who has to do what before another try can succeed.
std::string WhoMustAct(const nlohmann::json& error);

}  // namespace millrace::cli
