//! A broker just good enough to test the generator against: default exchange, queues in memory, and faults on order.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::wire::{self, Frame, MethodFrame, content, frame, id, kind};
use crate::types::FieldTable;

const FRAME_MAX: usize = 4096;

/// What the stand-in does other than a broker would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Closes the publisher's connection with code 320 after so many messages.
    CloseAfter(u64),
    /// Closes the socket without a word after so many messages.
    HangUpAfter(u64),
    /// Forgets the message of this number, counted from 1, and confirms it all the same.
    Lose(u64),
    /// Delivers the message of this number twice.
    Repeat(u64),
    /// Refuses the message of this number.
    Nack(u64),
    /// Blocks the publisher after so many messages, and lets it go on once that has been seen to stop it.
    BlockAfter(u64),
    /// Refuses every login.
    NoEntry,
    /// Counts messages and keeps none.
    Swallow,
    /// Delivers without end what nobody published.
    Flood,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<HashMap<Vec<u8>, VecDeque<Vec<u8>>>>,
    arrived: Condvar,
}

/// Starts a stand-in that serves until the test program ends.
pub fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let shared = Arc::new(Shared::default());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let shared = shared.clone();
            thread::spawn(move || Session::new(socket, shared, fault).serve());
        }
    });
    address
}

struct Session {
    socket: TcpStream,
    shared: Arc<Shared>,
    fault: Fault,
    out: Vec<u8>,
    published: u64,
    /// Routing key of the message whose body comes next, and what is there of it.
    open: (Vec<u8>, u64, Vec<u8>),
    confirms: bool,
    acked: u64,
    open_for_business: bool,
}

impl Session {
    fn new(socket: TcpStream, shared: Arc<Shared>, fault: Fault) -> Self {
        Self {
            socket,
            shared,
            fault,
            out: Vec::new(),
            published: 0,
            open: Default::default(),
            confirms: false,
            acked: 0,
            open_for_business: true,
        }
    }

    /// Serves until either side has had enough.
    fn serve(mut self) {
        let mut header = [0; 8];
        if self.socket.read_exact(&mut header).is_err() || &header != wire::PROTOCOL_HEADER {
            return;
        }
        self.method(0, id::CONNECTION_START)
            .u16(9)
            .table(&FieldTable::new())
            .long(b"PLAIN")
            .long(b"en_US")
            .end();
        let (mut input, mut end) = (vec![0; 1 << 20], 0);
        while self.open_for_business && self.send().is_ok() {
            let Ok(bytes @ 1..) = self.socket.read(&mut input[end..]) else {
                return;
            };
            end += bytes;
            let mut used = 0;
            while self.open_for_business
                && let Some(frame) = frame(&input[used..end]).expect("the client's frames")
            {
                used += frame.wire_bytes();
                self.on_frame(&frame);
            }
            input.copy_within(used..end, 0);
            end -= used;
            self.confirm();
        }
        let _ = self.send();
    }

    fn send(&mut self) -> std::io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn method(&mut self, channel: u16, id: u32) -> MethodFrame<'_> {
        MethodFrame::begin(&mut self.out, channel, id)
    }

    fn on_frame(&mut self, frame: &Frame<'_>) {
        match frame.kind {
            kind::METHOD => self.on_method(frame),
            kind::HEADER => {
                self.open.1 = u64::from_be_bytes(frame.payload[4..12].try_into().expect("a size"));
                self.complete();
            }
            kind::BODY if self.fault == Fault::Swallow => {
                self.open.1 -= frame.payload.len() as u64;
                self.complete();
            }
            kind::BODY => {
                self.open.2.extend_from_slice(frame.payload);
                self.open.1 -= frame.payload.len() as u64;
                self.complete();
            }
            _ => {}
        }
    }

    fn on_method(&mut self, frame: &Frame<'_>) {
        let payload = frame.payload;
        let number = u32::from_be_bytes(payload[..4].try_into().expect("a method"));
        match number {
            id::CONNECTION_START_OK if self.fault == Fault::NoEntry => {
                self.method(0, id::CONNECTION_CLOSE)
                    .u16(403)
                    .short("ACCESS_REFUSED - no")
                    .u32(0)
                    .end();
                self.open_for_business = false;
            }
            id::CONNECTION_START_OK => self
                .method(0, id::CONNECTION_TUNE)
                .u16(0)
                .u32(FRAME_MAX as u32)
                .u16(60)
                .end(),
            id::CONNECTION_OPEN => self.method(0, id::CONNECTION_OPEN_OK).short("").end(),
            id::CHANNEL_OPEN => self.method(1, id::CHANNEL_OPEN_OK).long(b"").end(),
            id::CONFIRM_SELECT => {
                self.confirms = true;
                self.method(1, id::CONFIRM_SELECT_OK).end();
            }
            id::QUEUE_DECLARE => {
                let name = short(&payload[6..]).to_vec();
                let ready = self.shared.queues.lock().entry(name.clone()).or_default().len();
                let name = String::from_utf8(name).expect("the generator's names");
                self.method(1, id::QUEUE_DECLARE_OK)
                    .short(&name)
                    .u32(ready as u32)
                    .u32(0)
                    .end();
            }
            id::QUEUE_DELETE => {
                self.shared.queues.lock().remove(short(&payload[6..]));
                self.method(1, id::QUEUE_DELETE_OK).u32(0).end();
            }
            id::BASIC_QOS => self.method(1, id::BASIC_QOS_OK).end(),
            id::BASIC_CONSUME => self.consume(&payload[6..]),
            id::BASIC_CANCEL => {
                let tag = String::from_utf8(short(&payload[4..]).to_vec()).expect("the generator's tags");
                self.method(1, id::BASIC_CANCEL_OK).short(&tag).end();
            }
            id::BASIC_PUBLISH => {
                let exchange = short(&payload[6..]).len();
                self.open.0.clear();
                self.open.0.extend_from_slice(short(&payload[7 + exchange..]));
            }
            id::CONNECTION_CLOSE => {
                self.method(0, id::CONNECTION_CLOSE_OK).end();
                self.open_for_business = false;
            }
            _ => {}
        }
    }

    /// Deliveries have a thread of their own, which writes whole frames.
    fn consume(&mut self, fields: &[u8]) {
        let queue = short(fields).to_vec();
        let tag = String::from_utf8(short(&fields[1 + queue.len()..]).to_vec()).expect("the generator's tags");
        self.method(1, id::BASIC_CONSUME_OK).short(&tag).end();
        self.send().expect("the consumer is there");
        let (mut socket, shared, fault) = (
            self.socket.try_clone().expect("a socket"),
            self.shared.clone(),
            self.fault,
        );
        thread::spawn(move || match fault {
            Fault::Flood => {
                let mut block = Vec::new();
                while block.len() < 256 * 1024 {
                    deliver(&mut block, &tag, 1, &[0; 16]);
                }
                while socket.write_all(&block).is_ok() {}
            }
            _ => {
                for delivery_tag in 1.. {
                    let body = {
                        let mut queues = shared.queues.lock();
                        loop {
                            match queues.get_mut(&queue).map(VecDeque::pop_front) {
                                Some(Some(body)) => break body,
                                Some(None) => shared.arrived.wait(&mut queues),
                                None => return,
                            }
                        }
                    };
                    let mut out = Vec::new();
                    deliver(&mut out, &tag, delivery_tag, &body);
                    if socket.write_all(&out).is_err() {
                        return;
                    }
                }
            }
        });
    }

    /// Takes the open message if its body is all there.
    fn complete(&mut self) {
        if self.open.1 > 0 {
            return;
        }
        self.published += 1;
        let body = std::mem::take(&mut self.open.2);
        let copies = match self.fault {
            Fault::Swallow => 0,
            Fault::Lose(number) | Fault::Nack(number) if number == self.published => 0,
            Fault::Repeat(number) if number == self.published => 2,
            _ => 1,
        };
        if copies > 0 {
            let mut queues = self.shared.queues.lock();
            let queue = queues.get_mut(&self.open.0).expect("declared");
            queue.extend(std::iter::repeat_n(body, copies));
            self.shared.arrived.notify_all();
        }
        match self.fault {
            Fault::CloseAfter(number) if number == self.published => {
                self.method(0, id::CONNECTION_CLOSE)
                    .u16(320)
                    .short("CONNECTION_FORCED - enough")
                    .u32(0)
                    .end();
                self.open_for_business = false;
            }
            Fault::HangUpAfter(number) if number == self.published => self.open_for_business = false,
            Fault::Nack(number) if number == self.published => {
                self.confirm_up_to(number - 1);
                self.method(1, id::BASIC_NACK).u64(number).u8(0).end();
                self.acked = number;
            }
            Fault::BlockAfter(number) if number == self.published => self.block(),
            _ => {}
        }
    }

    /// Blocked means that nothing more comes: whatever the client had under way arrives, then the socket is quiet.
    fn block(&mut self) {
        self.method(0, id::CONNECTION_BLOCKED).short("low on memory").end();
        self.confirm_up_to(self.published);
        self.send().expect("the publisher is there");
        let quiet = Some(std::time::Duration::from_millis(200));
        self.socket.set_read_timeout(quiet).expect("a timeout");
        let error = self
            .socket
            .peek(&mut [0])
            .expect_err("a blocked publisher sends nothing");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        self.socket.set_read_timeout(None).expect("no timeout");
        self.method(0, id::CONNECTION_UNBLOCKED).end();
    }

    fn confirm(&mut self) {
        self.confirm_up_to(self.published);
    }

    fn confirm_up_to(&mut self, number: u64) {
        if self.confirms && number > self.acked {
            self.method(1, id::BASIC_ACK).u64(number).u8(1).end();
            self.acked = number;
        }
    }
}

fn deliver(out: &mut Vec<u8>, consumer: &str, delivery_tag: u64, body: &[u8]) {
    MethodFrame::begin(out, 1, id::BASIC_DELIVER)
        .short(consumer)
        .u64(delivery_tag)
        .u8(0)
        .short("")
        .short("queue")
        .end();
    content(out, body, FRAME_MAX);
}

/// The short string at the front.
fn short(fields: &[u8]) -> &[u8] {
    &fields[1..1 + usize::from(fields[0])]
}
