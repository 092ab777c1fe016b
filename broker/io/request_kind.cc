#include "broker/io/request_kind.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/model/message.h"

namespace millrace::broker {
namespace {

using enum RequestKind;

constexpr auto kKinds = std::to_array<std::pair<std::string_view, RequestKind>>({
    {message::kSubmit, kJob},
    {message::kGetJob, kRead},
    {message::kListJobs, kRead},
    {message::kCancel, kJob},
    {message::kAttempts, kRead},
    {message::kEvents, kRead},
    {message::kProbe, kJob},
    {message::kQueue, kRead},
    {message::kWorkers, kRead},
    {message::kPing, kRead},
    {message::kDeadLetters, kRead},
    {message::kDeadLetterGroups, kRead},
    {message::kGetDeadLetter, kRead},
    {message::kRedrive, RequestKind::kRedrive},
    {message::kRedriveMany, RequestKind::kRedrive},
    {message::kGetRedrive, kRead},
    {message::kPurge, RequestKind::kPurge},
    {message::kPurgeMany, RequestKind::kPurge},
});

}  // namespace

RequestKind KindOf(std::string_view type) {
  const auto* found =
      std::ranges::find(kKinds, type, &std::pair<std::string_view, RequestKind>::first);
  if (found != kKinds.end()) return found->second;
  throw Error(ErrorCode::kProtocolError, "there is no message of type '" + std::string(type) + "'");
}

}  // namespace millrace::broker
