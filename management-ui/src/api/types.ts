// What the console reads, as it is sent. Fields that a node may leave out are optional.

export type Arguments = Record<string, unknown>;

export interface Rate {
  rate: number;
}

export interface MessageStats {
  publish?: number; publish_details?: Rate;
  publish_in?: number; publish_in_details?: Rate;
  publish_out?: number; publish_out_details?: Rate;
  confirm?: number; confirm_details?: Rate;
  deliver_get?: number; deliver_get_details?: Rate;
  deliver?: number; deliver_details?: Rate;
  deliver_no_ack?: number; deliver_no_ack_details?: Rate;
  get?: number; get_details?: Rate;
  get_no_ack?: number; get_no_ack_details?: Rate;
  get_empty?: number; get_empty_details?: Rate;
  ack?: number; ack_details?: Rate;
  redeliver?: number; redeliver_details?: Rate;
  return_unroutable?: number; return_unroutable_details?: Rate;
  drop_unroutable?: number; drop_unroutable_details?: Rate;
}

/** Who is signed in. A pattern is null where they have no permission. */
export interface Session {
  user: string;
  tags: string[];
  vhosts: { name: string; configure: string | null; write: string | null; read: string | null }[];
}

export interface Listener {
  node: string;
  protocol: string;
  ip_address: string;
  port: number;
}

export interface ExchangeType {
  name: string;
  description: string;
  enabled: boolean;
  internal_purpose?: string;
}

export interface Overview {
  cluster_name: string;
  node: string;
  product_name: string;
  product_version: string;
  rabbitmq_version: string;
  default_queue_type?: string;
  is_op_policy_updating_enabled?: boolean;
  exchange_types: ExchangeType[];
  object_totals?: Record<'channels' | 'consumers' | 'exchanges' | 'queues' | 'connections', number>;
  queue_totals?: { messages?: number; messages_ready?: number; messages_unacknowledged?: number };
  message_stats?: MessageStats;
  churn_rates?: Record<string, number | Rate>;
  listeners?: Listener[];
}

export interface Node {
  name: string;
  running: boolean;
  type?: string;
  uptime?: number;
  processors?: number;
  os_pid?: string;
  mem_used?: number; mem_limit?: number; mem_alarm?: boolean;
  disk_free?: number; disk_free_limit?: number; disk_free_alarm?: boolean;
  fd_used?: number; fd_total?: number;
  sockets_used?: number; sockets_total?: number;
  being_drained?: boolean;
  cluster_links?: { name: string; peer_addr: string; peer_port: number }[];
  contexts?: { path: string; port: string; ip?: string; description?: string }[];
  applications?: { name: string; description?: string; version: string }[];
  auth_mechanisms?: { name: string; description?: string; enabled: boolean }[];
  config_files?: string[]; log_files?: string[]; db_dir?: string;
  enabled_plugins?: string[];
  mem_calculation_strategy?: string;
  proc_used?: number; proc_total?: number;
  run_queue?: number;
}

export interface Trend {
  every: number;
  ready: (number | null)[];
}

export interface Queue {
  name: string;
  vhost: string;
  type: string;
  state: string;
  node?: string;
  durable: boolean;
  exclusive: boolean;
  auto_delete: boolean;
  arguments: Arguments;
  policy?: string | null;
  operator_policy?: string | null;
  effective_policy_definition?: Arguments | null;
  health?: string;
  messages?: number;
  messages_ready?: number;
  messages_unacknowledged?: number;
  message_bytes?: number;
  message_bytes_ready?: number;
  message_bytes_unacknowledged?: number;
  consumers?: number;
  consumer_utilisation?: number | null;
  consumer_details?: Consumer[];
  leader?: string;
  members?: string[];
  online?: string[];
  single_active_consumer_tag?: string | null;
  message_stats?: MessageStats;
  trend?: Trend;
  head_message_timestamp?: number | null;
  incoming?: { exchange: { name: string; vhost: string }; stats: MessageStats }[];
  deliveries?: { channel_details: { name?: string; connection_name?: string }; stats: MessageStats }[];
  owner_pid_details?: { name: string };
  /** Of a stream in a list: the offset of its oldest message, of the one that comes next, and the bytes of its log. */
  first_offset?: number;
  next_offset?: number;
  bytes?: number;
}

export interface Consumer {
  arguments: Arguments;
  ack_required: boolean;
  active: boolean;
  activity_status?: string;
  consumer_tag: string;
  exclusive: boolean;
  prefetch_count: number;
  queue: { name: string; vhost: string };
  channel_details?: { name?: string; connection_name?: string; number?: number; user?: string; node?: string; peer_host?: string; peer_port?: number };
}

/** All that read streams of a vhost under one name, connected or not. */
export interface StreamGroup {
  name: string;
  vhost: string;
  super_stream: string | null;
  state: 'active' | 'empty';
  members: number;
  lag: number;
  partitions: {
    stream: string;
    stored_offset: number | null;
    first_offset: number;
    end_offset: number;
    lag: number;
    members: { subscription_id: number; activity_status: string; offset: number; connection_details: { name: string } }[];
  }[];
}

/** Streams that are one for their clients. */
export interface SuperStream {
  name: string;
  vhost: string;
  partitions: { name: string; binding_key: string }[];
}

/** A publisher of the stream protocol. */
export interface StreamPublisher {
  publisher_id: number;
  reference: string;
  queue: { name: string; vhost: string };
  published: number;
  confirmed: number;
  errored: number;
  connection_details: { name: string };
}

/** A subscription of the stream protocol. */
export interface StreamSubscription {
  subscription_id: number;
  queue: { name: string; vhost: string };
  active: boolean;
  activity_status: string;
  properties: Record<string, string>;
  credits: number;
  consumed: number;
  offset: number;
  offset_lag: number;
  connection_details: { name: string };
}

/** A member of a stream, as it says itself; one that is down says nothing. */
export interface StreamMember {
  node: string;
  role: 'writer' | 'replica' | 'down';
  /** Of the newest message; -1 where there is none. */
  offset?: number;
  first_offset?: number;
  segments?: number;
  bytes?: number;
  readers?: number;
}

export interface Connection {
  name: string;
  user_provided_name?: string;
  node: string;
  vhost: string;
  user: string;
  state: string;
  protocol: string;
  ssl: boolean;
  ssl_protocol?: string | null;
  ssl_cipher?: string | null;
  peer_host: string;
  peer_port: number;
  host: string;
  port: number;
  channels: number;
  channel_max: number;
  frame_max: number;
  timeout: number;
  auth_mechanism: string;
  connected_at: number;
  client_properties: Arguments;
  recv_oct?: number; recv_oct_details?: Rate;
  send_oct?: number; send_oct_details?: Rate;
}

export interface Channel {
  name: string;
  number: number;
  node: string;
  user: string;
  vhost: string;
  state: string;
  confirm: boolean;
  transactional?: boolean;
  consumer_count: number;
  prefetch_count?: number;
  global_prefetch_count?: number;
  messages_unacknowledged: number;
  messages_unconfirmed: number;
  messages_uncommitted?: number;
  acks_uncommitted?: number;
  idle_since?: string;
  connection_details: { name: string; peer_host: string; peer_port: number };
  consumer_details?: Consumer[];
  message_stats?: MessageStats;
  publishes?: { exchange: { name: string; vhost: string }; stats: MessageStats }[];
  deliveries?: { queue: { name: string; vhost: string }; stats: MessageStats }[];
}

export interface Exchange {
  name: string;
  vhost: string;
  type: string;
  durable: boolean;
  auto_delete: boolean;
  internal: boolean;
  arguments: Arguments;
  policy?: string | null;
  message_stats?: MessageStats;
  user_who_performed_action?: string;
  incoming?: { channel_details: { name?: string; user?: string }; stats: MessageStats }[];
  outgoing?: { queue: { name: string; vhost: string }; stats: MessageStats }[];
}

export interface Binding {
  source: string;
  vhost: string;
  destination: string;
  destination_type: 'queue' | 'exchange';
  routing_key: string;
  arguments: Arguments;
  properties_key: string;
}

/** A page of a list. */
export interface Page<T> {
  items: T[];
  page: number;
  page_count: number;
  page_size: number;
  item_count: number;
  filtered_count: number;
  total_count: number;
  facets?: Record<string, Record<string, number>>;
}

export interface Notice {
  level: 'bad' | 'warn' | 'info';
  code: string;
  subject?: { kind: string; name: string; vhost?: string };
  since?: number | string | null;
  text: string;
  do?: string | null;
  link?: string;
}

export interface Series {
  /** Milliseconds since 1970 of the first point. */
  t0: number;
  /** Seconds between two points. */
  every: number;
  values: Record<string, (number | null)[]>;
}

export interface QueueHealth {
  health: string;
  since?: number | string | null;
  reasons: { code: string; level: 'bad' | 'warn' | 'info'; text: string; do?: string | null; link?: string | null }[];
  oldest_ready_ms?: number | null;
  oldest_unacked_ms?: number | null;
  at_prefetch?: number;
  drain_s?: number | null;
}

export interface Peeked {
  position: number | string;
  state: string;
  /** This and what follows is missing where the message could not be read. */
  exchange?: string;
  routing_key?: string;
  properties?: Record<string, unknown>;
  redelivered: boolean;
  delivery_count?: number;
  enqueued_at?: number | string | null;
  expires_at?: number | string | null;
  body?: string;
  encoding?: string;
  body_bytes: number;
  held_by?: { consumer_tag?: string | null; channel?: string | null; since: number } | null;
}

export interface Percentiles {
  p50?: number | null;
  p95?: number | null;
  p99?: number | null;
  max?: number | null;
}

/** In milliseconds. */
export interface Latency {
  wait?: Percentiles | null;
  ack?: Percentiles | null;
  confirm?: Percentiles | null;
}

/** Something that can be declared, as the broker's own table has it. */
export interface KnownArgument {
  name: string;
  type: string;
  /** Types of queues or exchanges. */
  on?: string[];
  policy?: string | null;
  /** Whether an operator policy may have it. */
  operator?: boolean;
  help?: string;
  values?: string[];
  from?: number;
  to?: number;
}

export interface Known {
  queue: KnownArgument[];
  exchange: KnownArgument[];
  policy: KnownArgument[];
  limits: Record<'vhost' | 'user', KnownArgument[]>;
}

export interface Found {
  kind: string;
  vhost?: string;
  name: string;
}

export interface Tried {
  binding_key: string;
  to: string;
  to_kind: 'queue' | 'exchange';
  arguments?: Arguments;
  /** Why it did not match. */
  why?: string;
}

export interface Route {
  outcome: 'routed' | 'unroutable' | 'delayed' | 'one_of';
  queues: { name: string; accepts: boolean | null; why?: string | null; via?: string }[];
  steps: { exchange: string; type?: string; tried: number; matched: Tried[]; missed: Tried[]; alternate?: string | null; delay_ms?: number | null }[];
  dead_letter: { queue: string; exchange: string; exists: boolean; routing_key: string; queues: string[] }[];
}

/** What a move would do. */
export interface Planned {
  would: { exchange: string; routing_key: string; count: number }[];
  unroutable: number;
  loops: number;
}

export interface Job {
  id: number | string;
  kind: string;
  by: string;
  /** On what: a queue, or how many. */
  what?: string;
  state: string;
  done: number;
  of: number;
  failed: { what: string; reason: string }[];
  failed_count?: number;
  started?: number;
  ended?: number | null;
}

/** A leader that would move. */
export interface Move {
  vhost: string;
  queue: string;
  from: string;
  to: string;
}

/** What a document of definitions would change. */
export interface DefinitionsPreview {
  create: { kind: string; name: string; to?: unknown }[];
  change: { kind: string; name: string; from: unknown; to: unknown }[];
  conflict: { name: string | null; why: string }[];
}

export type LimitValues = Record<string, number>;

export interface User {
  name: string;
  password_hash: string;
  hashing_algorithm: string;
  tags: string[];
  limits: LimitValues;
}

export interface Permission {
  user: string;
  vhost: string;
  configure: string;
  write: string;
  read: string;
}

export interface TopicPermission {
  user: string;
  vhost: string;
  exchange: string;
  write: string;
  read: string;
}

export interface Vhost {
  name: string;
  description: string;
  tags: string[];
  default_queue_type?: string;
  tracing?: boolean;
  /** State by node. */
  cluster_state: Record<string, string>;
  messages?: number;
  messages_ready?: number;
  messages_unacknowledged?: number;
  message_stats?: MessageStats;
}

export interface Policy {
  vhost: string;
  name: string;
  pattern: string;
  'apply-to': string;
  definition: Arguments;
  priority: number;
}

/** Limits of a vhost or a user. */
export interface Limited {
  vhost?: string;
  user?: string;
  value: LimitValues;
}

export interface Parameter {
  component: string;
  vhost: string;
  name: string;
  value: unknown;
}

export interface GlobalParameter {
  name: string;
  value: unknown;
}

export interface FeatureFlag {
  name: string;
  desc: string;
  doc_url?: string;
  state: string;
  stability: string;
  provided_by: string;
}

export interface DeprecatedFeature {
  name: string;
  desc: string;
  doc_url?: string;
  deprecation_phase: string;
  provided_by: string;
}

/** A browser that is signed in; times in milliseconds since 1970. */
export interface SignedIn {
  id: number;
  user: string;
  from: string;
  since: number;
  last_used: number;
  expires_at: number;
  node: string;
  is_own: boolean;
}

export interface ClusterNode {
  name: string;
  running: boolean;
  draining?: boolean;
  leaders: number;
  members: number;
  links?: Record<string, { ms: number | null }> | null;
}

export interface Cluster {
  name: string;
  nodes: ClusterNode[];
  at_risk_count: number;
  at_risk: { vhost: string; queue: string; members: number; online: number }[];
}

/** Attempts to sign in, by protocol. */
export interface AuthAttempts {
  protocol: string;
  auth_attempts: number;
  auth_attempts_succeeded: number;
  auth_attempts_failed: number;
}

/** A box of the picture of what leads where. */
export interface TopologyNode {
  /** `queue:orders`, `exchange:orders` */
  id: string;
  /** A group stands for what hangs on a box and has no place. */
  kind: 'queue' | 'exchange' | 'group';
  name: string;
  type?: string;
  /** In a word; `missing` where something leads to it and it is not there. */
  health?: string | null;
  ready?: number | null;
  unacked?: number | null;
  consumers?: number | null;
  in?: number | null;
  out?: number | null;
  /** Of a group. */
  count?: number;
}

export interface TopologyEdge {
  from: string;
  to: string;
  kind: 'binding' | 'alternate' | 'dead_letter' | 'group';
  keys: string[];
  count: number;
}

export interface Topology {
  nodes: TopologyNode[];
  edges: TopologyEdge[];
  left_out: number;
}

/** What a policy would do if it were put. */
export interface PolicyPreview {
  matches: number;
  wins: number;
  loses: { policy: string; count: number }[];
  changes: number;
  drops?: number;
  sample: { kind: string; name: string; now: Arguments; then: Arguments; drops: number }[];
  errors: string[];
}
