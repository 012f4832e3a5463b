//! Messages taken out of the middle of the line.

use super::*;

#[test]
fn messages_are_taken_out_wherever_they_stand() {
    for mut test in QueueTest::each(|_| {}) {
        test = test.publish(["m1", "m2", "m3", "m4"]);
        let seqs: Vec<_> = test
            .queue
            .peek(crate::queue::peek::Among::Ready, 0, 9)
            .iter()
            .map(|seen| seen.seq)
            .collect();
        let (now, around) = (test.now, &mut test.around);
        let slots = test.queue.take_out_at(now, &[seqs[1], seqs[3], 999], around);
        test.queue.check();
        assert_eq!(
            slots.iter().map(|slot| slot.seq()).collect::<Vec<_>>(),
            [seqs[1], seqs[3]]
        );
        assert_eq!(test.counts(), (2, 2));
        let around = &mut test.around;
        assert_eq!(test.queue.take_out_at(now, &[seqs[1]], around), [], "it is out");
        test.queue.settle(now, [slots[0]], Outcome::Accept, around);
        test.queue.settle(now, [slots[1]], Outcome::Requeue, around);
        test.queue.check();
        assert_eq!(test.counts(), (3, 0));
    }
}
