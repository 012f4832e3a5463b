// Starts the console.

import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/ui.css';
import { App } from './app/app.tsx';
import { resume } from './state/session.ts';

void resume();
render(<App />, document.getElementById('app') as HTMLElement);
