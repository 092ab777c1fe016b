#include "broker/io/message_shape.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "core/model/messages/client.h"
#include "core/model/messages/worker.h"

namespace millrace::broker {
namespace {

struct Shape {
  std::string_view type;
  void (*check)(std::string_view type, const nlohmann::json& body);
};

template <message::WholeBody... Bodies>
constexpr auto ShapesOf() {
  return std::to_array<Shape>({{Bodies::kType, &message::Check<Bodies>}...});
}

constexpr auto kClientShapes =
    ShapesOf<message::Submit, message::GetJob, message::ListJobs, message::Cancel,
             message::Attempts, message::Events, message::Probe, message::Queue, message::Workers,
             message::Ping, message::DeadLetters, message::DeadLetterGroups, message::GetDeadLetter,
             message::Redrive, message::RedriveMany, message::GetRedrive, message::Purge,
             message::PurgeMany>();

constexpr auto kWorkerShapes =
    ShapesOf<message::Register, message::Beat, message::Started, message::Finished, message::Failed,
             message::Released, message::Probed, message::Goodbye>();

void Check(const Message& message, std::span<const Shape> shapes) {
  const auto shape = std::ranges::find(shapes, message.type, &Shape::type);
  if (shape == shapes.end()) {
    throw Error(ErrorCode::kProtocolError, "there is no message of type '" + message.type + "'");
  }
  shape->check(message.type, message.body);
}

}  // namespace

void CheckClientMessage(const Message& message) { Check(message, kClientShapes); }

void CheckWorkerMessage(const Message& message) { Check(message, kWorkerShapes); }

std::string InstanceOf(const Message& message) {
  return message.body.at("instance").get<std::string>();
}

}  // namespace millrace::broker
