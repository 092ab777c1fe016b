#pragma once

#include <functional>
#include <string>
#include <vector>

#include "broker/dispatcher.h"
#include "broker/peer_book.h"
#include "broker/sockets.h"
#include "core/media_store.h"

namespace millrace {

// Does what committed outcomes ask for. Owned by the broker's loop, which calls Send() first, so
// that no reply waits for files to be moved, and Store() afterwards.
class EffectRunner {
 public:
  using Report = std::function<void(Outcome)>;

  // All must outlive it.
  EffectRunner(Sockets& sockets, PeerBook& peers, MediaStore& media)
      : sockets_(sockets), peers_(peers), media_(media) {}

  // Replies, orders and events, in order. Returns the instances of workers whose connection turned
  // out to be broken.
  std::vector<std::string> Send(const std::vector<Effect>& effects);

  // Publishes, buries and discards, in order, and hands what the dispatcher makes of each result
  // to `report`.
  void Store(const std::vector<Effect>& effects, Dispatcher& dispatcher,
             const std::function<Now()>& now, const Report& report);

 private:
  bool SendToInstance(const SendToWorker& send);
  Outcome Publish(const PublishOutputs& publish, Dispatcher& dispatcher,
                  const std::function<Now()>& now);
  Outcome BuryJob(const Bury& bury, Dispatcher& dispatcher, const std::function<Now()>& now);
  void Discard(const DiscardWork& discard);

  Sockets& sockets_;
  PeerBook& peers_;
  MediaStore& media_;
};

}  // namespace millrace
