// Where a message would go, asked of the router itself; nothing is published.

import { useState } from 'preact/hooks';
import { send, url } from '../api/client.ts';
import type { Route } from '../api/types.ts';
import { age, counted, shown } from '../lib/format.ts';
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
  const words = {
    routed: `It would go to ${counted(route.queues.length, 'queue')}`,
    one_of: `It would go to one of ${counted(route.queues.length, 'queue')}`,
    delayed: `It would wait, and go to ${counted(route.queues.length, 'queue')}`,
    unroutable: 'It would go nowhere',
  };
  return (
    <div class="stack" role="status">
      <p>
        <Badge level={route.queues.length === 0 ? 'bad' : refused ? 'warn' : 'ok'}>
          {words[route.outcome]}{refused > 0 && `, ${refused} of which would not take it`}
        </Badge>
      </p>
      <ul class="attention">
        {route.queues.map((queue) => (
          <li key={queue.name}>
            <Name of={queue.name} href={href('queues', vhost, queue.name)} copy={false} />
            {queue.via && <span class="muted">by {queue.via}</span>}
            {queue.accepts === false && <Badge level="warn">{queue.why ?? 'would not take it'}</Badge>}
          </li>
        ))}
      </ul>
      {route.steps.map((step) => (
        <div key={step.exchange}>
          <h2>{step.exchange || '(default exchange)'} <span class="muted">{step.type} · {counted(step.tried, 'binding')} tried</span></h2>
          <ul class="attention">
            {[...step.matched, ...step.missed].map((binding, at) => (
              <li key={at}>
                <Badge level={binding.why ? 'off' : 'ok'}>{binding.why ? 'no' : 'yes'}</Badge>
                <span class="mono">{shown(binding.binding_key) || '–'}</span> to {binding.to_kind} {shown(binding.to)}
                {binding.why && <span class="muted">{binding.why}</span>}
              </li>
            ))}
            {step.alternate && <li class="muted">It goes on to the alternate exchange {step.alternate}.</li>}
            {step.delay_ms != null && <li class="muted">It waits here for {age(step.delay_ms)}.</li>}
          </ul>
        </div>
      ))}
      {route.dead_letter.length > 0 && (
        <div>
          <h2>If it dies there</h2>
          <ul class="attention">
            {route.dead_letter.map((each) => (
              <li key={each.queue}>
                {each.queue} gives it to {each.exchange || 'the default exchange'}, routing key <span class="mono">{shown(each.routing_key) || '–'}</span>
                {!each.exists ? <Badge level="bad">there is no such exchange: it would be lost</Badge>
                  : each.queues.length === 0 ? <Badge level="bad">no queue takes it there: it would be lost</Badge>
                    : <span class="muted">and it goes to {each.queues.join(', ')}</span>}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
