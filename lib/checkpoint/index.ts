export { readCheckpoint } from './read';
