// Publishing one message by hand.

import { send, url } from '../api/client.ts';
import { refresh } from '../state/poll.ts';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { tell } from '../ui/toast.tsx';

const PROPERTIES = [
  'content_type', 'content_encoding', 'priority', 'correlation_id', 'reply_to', 'expiration', 'message_id', 'timestamp', 'type', 'user_id', 'app_id', 'cluster_id',
];
const NUMBERS = new Set(['priority', 'timestamp']);

export function Publish({ vhost, exchange, routingKey }: { vhost: string; exchange: string; routingKey?: string }) {
  const fields: Field[] = [
    ...(routingKey === undefined ? [{ name: 'routing_key', label: 'Routing key' }] : []),
    { name: 'payload', label: 'Body', kind: 'area' },
    { name: 'encoding', label: 'The body is', kind: 'select', options: [{ value: 'string', title: 'text' }, { value: 'base64', title: 'base64, for bytes' }] },
    { name: 'persistent', label: 'Persistent: kept over a restart', kind: 'check', value: 'true' },
    { name: 'headers', label: 'Headers', kind: 'arguments' },
    { name: 'properties', label: 'Properties', kind: 'arguments', known: PROPERTIES.map((name) => ({ name, type: NUMBERS.has(name) ? 'number' : 'string' })) },
  ];
  return (
    <Form fields={fields} button="Publish" submit={async (values) => {
      const headers = argumentsOf(values.headers);
      const answer = await send<{ routed: boolean }>('POST', url`/exchanges/${vhost}/${exchange || 'amq.default'}/publish`, {
        routing_key: routingKey ?? values.routing_key,
        payload: values.payload,
        payload_encoding: values.encoding,
        properties: { delivery_mode: values.persistent === 'true' ? 2 : 1, ...(Object.keys(headers).length ? { headers } : {}), ...argumentsOf(values.properties) },
      });
      refresh();
      if (!answer.routed) throw new Error('Published, but no queue took it: no binding matches.');
      tell('Published, and routed');
    }} />
  );
}
