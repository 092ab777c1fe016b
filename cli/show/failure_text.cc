#include "cli/show/failure_text.h"

#include <optional>

#include "cli/base/json_text.h"
#include "cli/base/text.h"
#include "core/base/error.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

// Returns the service's own word, else this build's for the code; nullopt if both are missing.
std::optional<bool> IsRetryable(const json& error) {
  if (const json& said = Member(error, "retryable"); said.is_boolean()) return said.get<bool>();
  const std::optional<ErrorCode> code = ErrorCodeFromName(Text(error, "code"));
  if (!code) return std::nullopt;
  return TraitsOf(*code).retry != RetryClass::kPermanent;
}

// Describes how the encoder's process ended; "" if it ended as it should.
std::string EndText(const json& context) {
  const std::string signal = Text(context, "signal");
  const std::string status = Text(context, "exit_status");
  return Joined({signal, status.empty() ? "" : "exit status " + status}, ", ");
}

std::string MediaAdvice(const json& error) {
  const std::string code = Text(error, "code");
  if (code == "poison") {
    return "whoever made the file: it crashes encoders, and is not retried by itself. If the "
           "encoder is at fault, report it with this folder";
  }
  if (IsRetryable(error).value_or(false)) {
    return "whoever made the file, if it fails the same way again: repair or replace it";
  }
  return "whoever made the file: repair or replace it; as it is, it will fail again";
}

}  // namespace

std::string DescribeBlame(const json& error) {
  const std::string blame = Text(error, "blame");
  const std::string who =
      Joined({Text(error, "code"), blame.empty() ? "" : "blame: " + blame}, ", ");
  const std::optional<bool> retryable = IsRetryable(error);
  if (!retryable) return who;
  return who + (*retryable ? "; another try may help" : "; another try cannot help");
}

std::string DescribePlace(const json& context) {
  std::vector<std::string> parts;
  const std::string stage = Text(context, "stage");
  const std::string codec = Text(context, "codec");
  parts.push_back(Joined({stage, codec.empty() || stage.empty() ? codec : "of " + codec}, " "));
  if (Member(context, "stream").is_number()) parts.push_back("stream " + Text(context, "stream"));
  if (Member(context, "pts_seconds").is_number()) {
    parts.push_back("at " + FormatShortDuration(Number(context, "pts_seconds")));
  }
  if (Member(context, "byte_offset").is_number()) {
    parts.push_back("byte " + Text(context, "byte_offset"));
  }
  // Known instead of the above for a process that died without a word.
  parts.push_back(Text(context, "phase"));
  if (Member(context, "media_seconds").is_number()) {
    parts.push_back("after " + FormatShortDuration(Number(context, "media_seconds")) + " of media");
  }
  return Joined(parts, ", ");
}

std::string DescribeFacts(const json& error) {
  const json& context = Member(error, "context");
  std::string earlier = Text(error, "earlier_job");
  if (earlier.empty()) earlier = Text(context, "earlier_job");
  std::string text = Line("where", DescribePlace(context)) +
                     Line("ffmpeg", Text(context, "ffmpeg")) + Line("ended by", EndText(context));
  if (!earlier.empty()) {
    text += Line("known from", earlier + "  (millrace dead show " + earlier + ")");
  }
  // Poison is a verdict; the crash behind it is what helps.
  const json& crash = Member(context, "last_error");
  if (crash.is_object()) {
    text += Line("the crash", Joined({Text(crash, "detail"), Text(crash, "code")}, "; "));
    text += DescribeFacts(crash);
  }
  return text;
}

std::string WhoMustAct(const json& error) {
  const std::string blame = Text(error, "blame");
  if (blame == "media") return MediaAdvice(error);
  if (blame == "request") {
    return "whoever submitted it: change the request (dead redrive --spec, or submit anew)";
  }
  if (blame == "worker") {
    return "whoever runs the workers (millrace workers); then redrive it";
  }
  if (blame == "storage") {
    return "whoever runs the disks: space, permissions, faults; then redrive it";
  }
  if (blame == "service") {
    return "whoever runs Millrace: read its logs, redrive it, and report it if it fails again";
  }
  return "";
}

}  // namespace millrace::cli
