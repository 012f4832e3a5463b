// Where a message would go, asked of the router itself; nothing is published.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Route } from '../api/types.ts';
import { counted, plain } from '../lib/format.ts';
import { href } from '../state/address.ts';
import { Badge } from '../ui/badge.tsx';
import { argumentsOf, Form, type Field } from '../ui/form.tsx';
import { Name } from '../ui/name.tsx';

export function RouteTester({ vhost, exchange, type }: { vhost: string; exchange: string; type: string }) {
  const [route, setRoute] = useState<Route>();
  const fields: Field[] = [
    ...(type === 'fanout' ? [] : [{ name: 'routing_key', label: 'Routing key' }]),
    { name: 'headers', label: 'Headers', kind: 'arguments' },
  ];
  return (
    <>
      <p class="note">Nothing is published: the router is only asked.</p>
      <Form fields={fields} button="Test the route" submit={async (values) => {
        setRoute(await send<Route>('POST', url`/route/${vhost}`, { exchange, routing_key: values.routing_key ?? '', headers: argumentsOf(values.headers) }));
      }} />
      {route && <Result route={route} vhost={vhost} />}
    </>
  );
}

function Result({ route, vhost }: { route: Route; vhost: string }) {
  const refused = route.queues.filter((queue) => queue.accepts === false).length;
  return (
    <div class="stack" role="status">
      <p>
        <Badge level={route.queues.length === 0 ? 'bad' : refused ? 'warn' : 'ok'}>
          {route.queues.length === 0 ? 'It would go nowhere' : `It would go to ${counted(route.queues.length, 'queue')}${refused ? `, ${refused} of which would refuse it` : ''}`}
        </Badge>
      </p>
      <ul class="attention">
        {route.queues.map((queue) => (
          <li key={queue.name}><Name of={queue.name} href={href('queues', vhost, queue.name)} copy={false} />{queue.accepts === false && <span class="muted">refuses it</span>}</li>
        ))}
      </ul>
      {route.steps.map((step) => (
        <div key={step.exchange}>
          <h3>{step.exchange || '(default exchange)'}{step.tried !== undefined && <span class="muted"> {counted(step.tried, 'binding')} tried</span>}</h3>
          <ul class="attention">
            {step.matched.map((binding, at) => (
              <li key={at}><Badge level="ok">yes</Badge> <span class="mono">{binding.binding_key || '–'}</span> to {named(binding.to)}</li>
            ))}
            {step.missed.map((binding, at) => (
              <li key={`missed ${at}`}><Badge level="off">no</Badge> <span class="mono">{binding.binding_key || '–'}</span>{binding.to !== undefined && <> to {named(binding.to)}</>} <span class="muted">{binding.why}</span></li>
            ))}
            {step.alternate && <li><span class="muted">goes on to the alternate exchange {step.alternate}</span></li>}
          </ul>
        </div>
      ))}
      {route.dead_letter && route.dead_letter.length > 0 && (
        <div>
          <h3>Dead letters of these queues</h3>
          <ul class="attention">{route.dead_letter.map((each, at) => <li key={at}>{typeof each === 'object' && each ? Object.entries(each).map(([name, value]) => `${name.replaceAll('_', ' ')} ${plain(value)}`).join(', ') : plain(each)}</li>)}</ul>
        </div>
      )}
    </div>
  );
}

function named(to: string | { kind: string; name: string }): string {
  return typeof to === 'string' ? to : `${to.kind} ${to.name}`;
}
