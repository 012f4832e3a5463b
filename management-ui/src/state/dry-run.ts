// What the broker says that something would do, asked while a form is filled in.

import { useEffect, useState } from 'preact/hooks';
import { send } from '../api/client.ts';

/** How long nothing is written before it is asked, in milliseconds. */
const REST = 300;

/** The last answer, and why the last question had none. Without a body nothing is asked. */
export function useDryRun<T>(path: string, body: object | undefined): { found: T | undefined; failure: string } {
  const [found, setFound] = useState<T>();
  const [failure, setFailure] = useState('');
  useEffect(() => {
    if (!body) {
      setFound(undefined);
      return undefined;
    }
    let isOver = false;
    const timer = setTimeout(() => {
      send<T>('POST', path, body).then(
        (answer) => {
          if (isOver) return;
          setFound(answer);
          setFailure('');
        },
        (error: Error) => !isOver && setFailure(error.message),
      );
    }, REST);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [path, JSON.stringify(body)]);
  return { found, failure };
}
